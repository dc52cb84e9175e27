package berth

import (
	"errors"
	"iter"
	"strconv"
)

// BatchHandler handles the events of a batch. The batch, its events and their byte slices are
// valid until the handler returns. If it returns an error, all events end with that, as those
// of a Handler do. Otherwise each ends as Result or Fail has said, and the others succeed with
// the empty result.
type BatchHandler func(*Batch) error

// Batch is one or more events that are handled together, in the order of the log. No two
// have the same order key. An event that is delivered again comes in a batch of its own.
type Batch struct {
	received Event    // what next has yielded
	events   []*Event // reused; the first size are those of the batch
	results  []Result // reused, like events
	failures []error  // reused, like events
	size     int
}

// RunBatch is Run for a plugin whose manifest has a batch, such as
// {"max_events": 100, "max_wait": "50ms"}. If the operator has disabled batches, each event
// comes in a batch of its own.
func RunBatch(handle BatchHandler) {
	b := &Batch{received: Event{envelope: make([]byte, 4096)}}
	for b.received.next() {
		b.split()
		switch err := handle(b); {
		case err != nil:
			finish(Result{}, err, Reject)
		case !b.events[0].batched:
			finish(b.results[0], b.failures[0], Reject)
		case b.size == 1:
			finish(b.result(), nil, Reject) // a retry would make the same result
		default:
			finish(b.result(), nil, Retry) // each comes alone then, so that only the cause is rejected
		}
	}
}

// isBatch distinguishes {"events":[…]} from an event, {"event_type":…}.
func isBatch(envelope []byte) bool {
	const begin = `{"events"`
	return len(envelope) > len(begin) && string(envelope[:len(begin)]) == begin
}

// split makes the events of what was received: a batch, or one event.
func (b *Batch) split() {
	b.size = 0
	if received := b.received.Raw(); isBatch(received) {
		array, _ := locate(received, "/events")
		for in := trim(array[1:]); in[0] != ']'; {
			n := length(in)
			b.add(in[:n], true)
			if in = trim(in[n:]); in[0] == ',' {
				in = trim(in[1:])
			}
		}
	} else {
		b.add(received, false)
	}
	clear(b.results)
	clear(b.failures)
}

// add adds an event.
func (b *Batch) add(envelope []byte, batched bool) {
	i := b.size
	b.size++
	if i == len(b.events) {
		pointer := strconv.AppendInt([]byte("/events/"), int64(i), 10)
		b.events = append(b.events, &Event{index: i, pointer: pointer, prefix: len(pointer)})
		b.results, b.failures = append(b.results, Result{}), append(b.failures, nil)
	}
	e := b.events[i]
	e.envelope, e.size, e.batched = envelope, len(envelope), batched
}

// Len returns the number of events, at least 1.
func (b *Batch) Len() int { return b.size }

// Event returns the event with an index from 0 to Len()-1.
func (b *Batch) Event(i int) *Event { return b.events[:b.size][i] }

// Events yields the events with their indexes.
func (b *Batch) Events() iter.Seq2[int, *Event] {
	return func(yield func(int, *Event) bool) {
		for i, e := range b.events[:b.size] {
			if !yield(i, e) {
				return
			}
		}
	}
}

// Result has an event succeed with a result of at most 64 KiB; the results of a batch have at
// most 8 MiB together.
func (b *Batch) Result(i int, r Result) { b.results[:b.size][i], b.failures[i] = r, r.err }

// Fail has an event fail with an error: one of Reject as a reject, any other as a retry. Its
// children are dropped. If the manifest has "state": "atomic", the host refuses a batch with
// failures: return an error for all events instead.
func (b *Batch) Fail(i int, err error) { b.results[:b.size][i], b.failures[i] = Result{}, err }

// result returns the result of the batch.
func (b *Batch) result() Result {
	results, failures := []byte{'['}, []byte{'['}
	empty := true
	for i, r := range b.results[:b.size] {
		if i > 0 {
			results = append(results, ',')
		}
		if r.json == "" {
			r.json = "null"
		} else {
			empty = false
		}
		results = append(results, r.json...)
		if err := b.failures[i]; err != nil {
			if len(failures) > 1 {
				failures = append(failures, ',')
			}
			failures = append(failures, failure(i, err)...)
		}
	}
	var answer Object
	if !empty {
		answer.Raw("results", string(append(results, ']')))
	}
	if len(failures) > 1 {
		answer.Raw("failures", string(append(failures, ']')))
	}
	if len(answer.buf) == 0 {
		return Result{}
	}
	return answer.Result()
}

// failure returns the entry of an event in the failures of a batch.
func failure(i int, err error) string {
	status := "retry"
	var rejected *RejectError
	if errors.As(err, &rejected) {
		status = "reject"
	}
	var o Object
	return o.Int("index", int64(i)).Str("status", status).Str("reason", err.Error()).Text()
}
