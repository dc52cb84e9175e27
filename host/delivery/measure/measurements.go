package measure

// Measurements are the counts of a handler since the host started, by version, and the state
// of its queue. They are a copy.
type Measurements struct {
	Versions Versions // in the order in which they first ran, those that ended included
	Ready    int      // events that an instance may take now
}
