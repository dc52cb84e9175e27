package obstacle

// Stats counts the attempts of a source, and describes the queue of its handler.
type Stats struct {
	Delivered uint64 // successful attempts
	Failed    uint64 // failed attempts, also those whose children could not be published
	Fuel      uint64 // of all attempts, also cancelled ones
	// Open counts the events in the queue that are not final: read, waiting for a retry,
	// or redriven.
	Open uint64
	// Lag is Open and every event of the log that is not read, except those that are
	// final. A handler reads 4,096 of its events ahead, 65,536 while some wait behind a
	// retry; whether it takes an event is known only when the event is read.
	Lag       uint64
	Condition Condition
}
