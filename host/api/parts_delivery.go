package api

import (
	"context"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

// DeadLetterQuery selects dead letters: those to which every field that is not
// zero applies.
type DeadLetterQuery struct {
	Plugin, EventID, EventType, Subject, Class string
	Since, Until                               time.Time // of death: from Since on, before Until
}

// DeadLetters keeps the events that handlers have given up on.
type DeadLetters interface {
	// DeadLetters lists at most limit of them, latest Seq first, with their events.
	// next is the cursor of the page after, or "". fault.Invalid about "cursor": it
	// is none of this list.
	DeadLetters(ctx context.Context, q DeadLetterQuery, cursor string, limit int) (list []wire.DeadLetter, next string, err error)
	// Redrive gives them to their handlers again, as if they had just been
	// published, and answers how many.
	Redrive(ctx context.Context, q DeadLetterQuery) (int, error)
	// Purge removes them, and answers how many.
	Purge(ctx context.Context, q DeadLetterQuery) (int, error)
}

// Replayer delivers a part of the log to one plugin again.
type Replayer interface {
	// Replay takes from and to, both included. It returns when that is stored; the
	// deliveries follow. fault.NotFound: no handler of this name has a place in the log.
	Replay(ctx context.Context, plugin string, from, to uint64) error
	// SeqAt returns the Seq of the first event published at or after t, Last()+1 for none.
	SeqAt(ctx context.Context, t time.Time) (uint64, error)
	// Last returns the log's highest Seq; 0 for none.
	Last() uint64
	// Skip passes over events that cannot be read, both ends included, and answers
	// which handlers had not had them. fault.Conflict: one of them can be read.
	Skip(ctx context.Context, from, to uint64) (event.Skipped, error)
}

// Pauser stops a plugin from taking events, without losing its place, and lets
// it go on.
type Pauser interface {
	// SetPaused also writes that to the configuration; fault.NotFound.
	SetPaused(ctx context.Context, name string, paused bool) (wire.Plugin, error)
}

// LogStatuser says how the event log stands.
type LogStatuser interface {
	LogStatus(ctx context.Context) (wire.LogStatus, error)
}

// PublishedLog reads what is published, in the order of Seq.
type PublishedLog interface {
	// Last returns the highest Seq; 0 for none.
	Last() uint64
	// Follow starts at Seq from. Close the follower when done.
	Follow(from uint64) Follower
}

// Follower is a place in the log that moves forward.
type Follower interface {
	// Next waits until there are events, and copies as many as buf has room for.
	// It returns their number, at least one, or an error when ctx ends or the log
	// is closed.
	Next(ctx context.Context, buf []event.Record) (int, error)
	Close()
}
