package spec

// LogQuery selects lines of a plugin's log.
type LogQuery struct {
	After   uint64 // only lines with a higher Seq
	EventID string // only lines about this event; "" for all
	Limit   int    // at most so many
	Latest  bool   // the latest ones, rather than the first after After
}
