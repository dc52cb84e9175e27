package stored

import (
	"context"

	"github.com/berth-host/berth/host/event"
)

// Figures describe the queue of a handler.
type Figures struct {
	// Open counts the events in the queue that are not final: read, waiting for a retry, or
	// redriven. Lag is Open and every event of the log that is not read, except those that
	// are final.
	Open, Lag uint64
	Oldest    uint64 // the first Seq that is not final
}

// FiguresOf returns those of a handler that is not open, without the redriven events in
// Oldest; the zero value for one that was never opened. last is the log's end.
func FiguresOf(ctx context.Context, store Store, handler string, last uint64) (f Figures, err error) {
	b, err := store.LoadBacklog(ctx, handler)
	if err != nil || !b.Found {
		return f, err
	}
	redriven, err := CountRedriven(ctx, store, handler, b.Cursor, b.Replay)
	if err != nil {
		return f, err
	}
	f.Oldest = b.Cursor + 1
	f.Open = uint64(redriven)
	for _, waiting := range b.Open {
		if waiting.Seq <= b.Cursor || b.Replay.Skips(waiting.Seq) {
			f.Open++ // the reader has passed it, or will skip it
			f.Oldest = min(f.Oldest, waiting.Seq)
		}
	}
	f.Lag = f.Open + b.Replay.Unread(b.Cursor, last, len(b.Done))
	return f, nil
}

// CountRedriven counts a handler's redriven events that a reader at readTo has passed or will
// skip. All others are counted as unread.
func CountRedriven(ctx context.Context, store Store, handler string, readTo uint64, r *event.Replay) (int, error) {
	n, err := store.CountRedriven(ctx, handler, 0, readTo)
	if err != nil || r == nil || readTo >= r.Resume {
		return n, err
	}
	skipped, err := store.CountRedriven(ctx, handler, max(r.To, readTo)+1, r.Resume)
	return n + skipped, err
}
