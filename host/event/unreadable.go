package event

import "fmt"

// Unreadable is the error of reading a damaged position of a log.
type Unreadable struct {
	Seq uint64 // of the first event that cannot be read
	To  uint64 // of the last one in a row, at least Seq
	Err error  // of the first
}

// Events names the events for a person: "event 41", or "events 41 to 48".
func (u *Unreadable) Events() string {
	if u.To <= u.Seq {
		return fmt.Sprintf("event %d", u.Seq)
	}
	return fmt.Sprintf("events %d to %d", u.Seq, u.To)
}

func (u *Unreadable) Error() string {
	return fmt.Sprintf("%s cannot be read: %v", u.Events(), u.Err)
}

func (u *Unreadable) Unwrap() error { return u.Err }

// Skipped is the result of skipping unreadable events.
type Skipped struct {
	From, To uint64   // Seqs, both included
	Handlers []string // the handlers that had not had the events, by name
}
