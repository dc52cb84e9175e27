package event

// Sampled is the range of a handler's successes that an older version of this host did not
// keep when its store was too slow, or that a repair of the store lost: at From, at To, and at
// any Seq between. An event of the range that the handler takes, that its cursor has passed,
// and that has no stored delivery was successful. The zero value is an empty range. This
// version keeps the outcome of every delivery; it reads the range, and never writes it.
type Sampled struct{ From, To uint64 }

// Has reports whether a Seq is in the range.
func (s Sampled) Has(seq uint64) bool { return s.From > 0 && seq >= s.From && seq <= s.To }

// NotKept returns the delivery of an event whose success is not stored, see Sampled.
func (r Record) NotKept(handler string) Delivery {
	return Delivery{Handler: handler, Seq: r.Seq, Status: StatusOK, Attempts: 1, At: r.Event.Metadata().Time, NotKept: true}
}
