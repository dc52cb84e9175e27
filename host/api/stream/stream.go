// Package stream serves the event stream: what is published, in the order of the log, and
// the activities of handlers and plugins, as server-sent events.
//
// Published events come from the log, each once, with their Seq as the id. The first frame,
// "hello", has the Seq after which the stream starts. Activities come from a Feed as they
// happen and have no id; those of the past, and those that happen while the stream catches
// up with the log, are not shown. A delivery comes after its event. A reader that cannot
// keep up gets "event: lagged" and the end of the stream.
//
// The only lock is the Feed's, which is not held during I/O. Read stream.go first.
package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/berth-host/berth/host/api/problem"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

const (
	pageSize   = 64  // events read from the log at once
	maxPending = 256 // deliveries that wait for their event to be shown
)

// Log is the event log.
type Log interface {
	// Last returns the highest Seq; 0 for none.
	Last() uint64
	// Follow starts at Seq from. Close the follower when done.
	Follow(from uint64) Follower
}

// Follower reads the log forward from a position.
type Follower interface {
	// Next waits until there are events, and copies up to len(buf) of them. It returns
	// their number, at least one, or an error when ctx ends or the log is closed.
	Next(ctx context.Context, buf []event.Record) (int, error)
	Close()
}

// Activities are the activities other than publishing. The channel is buffered; it is closed
// when ctx ends, and when the subscriber is too slow. Feed implements it.
type Activities interface {
	Subscribe(ctx context.Context) <-chan wire.Activity
}

// Config holds what Streams need. Every field is required.
type Config struct {
	Log        Log
	Newest     func(context.Context) (uint64, error) // Seq of the newest event that is still in the log; 0 for none
	Activities Activities
	Heartbeat  time.Duration // between comments on an idle stream
	Max        int           // streams at once
	Closing    <-chan struct{}
	Logger     *slog.Logger
}

// Streams serves event streams. It is safe for concurrent use.
type Streams struct {
	cfg  Config
	open chan struct{} // one token for each open stream
}

// New returns a server of streams.
func New(cfg Config) *Streams { return &Streams{cfg: cfg, open: make(chan struct{}, cfg.Max)} }

// Serve answers with a stream until the request's context ends, the reader is too slow, or
// the host closes. since is the Seq after which the stream starts, "" for now; the header
// Last-Event-ID, which browsers send when they reconnect, precedes it. Errors before the
// stream starts are the caller's to answer.
func (s *Streams) Serve(w http.ResponseWriter, r *http.Request, since string) error {
	after, err := s.start(r, since)
	if err != nil {
		return err
	}
	select {
	case s.open <- struct{}{}:
		defer func() { <-s.open }()
	default:
		return fault.New(fault.Unavailable, "there are %d event streams already, which is the maximum", s.cfg.Max)
	}
	if err := http.NewResponseController(w).SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("event stream: %w", err)
	}
	st := &streaming{cfg: s.cfg, shown: after, caughtUp: after}
	if after < s.cfg.Log.Last() { // retention may have removed the last events
		newest, err := s.cfg.Newest(r.Context())
		if err != nil {
			return err
		}
		st.caughtUp = max(newest, after)
	}
	ctx, cancel := context.WithCancel(r.Context())
	batches, wait := s.follow(ctx, s.cfg.Log.Follow(after+1))
	defer wait()
	defer cancel() // before the wait
	if st.shown >= st.caughtUp {
		st.activities = s.cfg.Activities.Subscribe(ctx)
	}
	st.out = NewWriter(w)
	// A reader that reconnects before anything is published continues from this id. The
	// frame has data, because many clients ignore the id of a frame without.
	st.out.write(fmt.Appendf(nil, ": activity of this host, after %d\nid: %[1]d\nevent: hello\ndata: {\"after\":%[1]d}\n\n", after))
	st.out.Flush()
	return st.run(ctx, batches)
}

// start returns the Seq after which a stream starts.
func (s *Streams) start(r *http.Request, since string) (uint64, error) {
	last := s.cfg.Log.Last()
	field, text := "since", since
	if ids := r.Header.Values("Last-Event-ID"); len(ids) > 0 && ids[0] != "" {
		field, text = "Last-Event-ID", ids[0]
	}
	if text == "" {
		return last, nil
	}
	after, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, fault.Field(field, "%q is not the id of a frame of this stream: a Seq of the log", problem.Short(text))
	}
	// A Seq beyond the end is of another log than this one.
	return min(after, last), nil
}

// follow reads a follower in a goroutine, which has ended when wait returns; ctx must have
// ended by then. The channel is closed when the follower ends.
func (s *Streams) follow(ctx context.Context, f Follower) (batches <-chan []event.Record, wait func()) {
	ch := make(chan []event.Record)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(ch)
		defer f.Close()
		buf := make([]event.Record, pageSize)
		for {
			n, err := f.Next(ctx, buf)
			if err != nil {
				if ctx.Err() == nil && !fault.Is(err, fault.Unavailable) {
					s.cfg.Logger.Error("event stream cannot read the log", "error", err)
				}
				return
			}
			select {
			case ch <- append([]event.Record(nil), buf[:n]...):
			case <-ctx.Done():
				return
			}
		}
	})
	return ch, reading.Wait
}

// streaming is one open stream.
type streaming struct {
	cfg        Config
	out        *Writer
	shown      uint64                 // every event up to here is shown, or older than the stream
	caughtUp   uint64                 // the log's end when the stream began
	activities <-chan wire.Activity   // nil while it catches up
	pending    []wire.DeliveryOfEvent // deliveries whose events are not shown yet
}

// run sends everything until the reader disconnects or is too slow, or the host closes.
func (st *streaming) run(ctx context.Context, batches <-chan []event.Record) error {
	out := st.out
	heartbeat := time.NewTicker(st.cfg.Heartbeat)
	defer heartbeat.Stop()
	for out.Err == nil {
		select {
		case batch, open := <-batches:
			if !open {
				return st.end(ctx)
			}
			st.published(ctx, batch)
		case a, open := <-st.activities:
			switch {
			case open && st.activity(a):
			case ctx.Err() != nil: // the reader has disconnected
				return nil
			default:
				out.Event("lagged", map[string]string{"reason": "the reader was too slow; connect again with Last-Event-ID for what is published, " +
					"the deliveries meanwhile are not shown"})
				out.Flush()
				return out.Err
			}
		case <-heartbeat.C:
			out.comment("")
			out.Flush()
		case <-st.cfg.Closing:
			return st.end(ctx)
		case <-ctx.Done():
			return nil
		}
	}
	return out.Err
}

// end sends the reason of the end, unless the reader has disconnected.
func (st *streaming) end(ctx context.Context) error {
	if ctx.Err() != nil {
		return nil
	}
	reason := "the log cannot be read now; connect again with Last-Event-ID"
	select {
	case <-st.cfg.Closing:
		reason = "the host is shutting down"
	default:
	}
	st.out.Event("closing", map[string]string{"reason": reason})
	st.out.Flush()
	return st.out.Err
}

// published sends events, and the deliveries that have waited for them.
func (st *streaming) published(ctx context.Context, batch []event.Record) {
	for _, rec := range batch {
		st.out.published(rec)
		st.shown = rec.Seq
		n := 0
		for _, d := range st.pending {
			if d.Seq > st.shown {
				st.pending[n] = d
				n++
				continue
			}
			st.out.Event(deliveryKind, wire.Activity{Kind: deliveryKind, Delivery: &d})
		}
		st.pending = st.pending[:n]
	}
	if st.activities == nil && st.shown >= st.caughtUp {
		st.activities = st.cfg.Activities.Subscribe(ctx)
	}
	st.out.Flush()
}

const deliveryKind = "delivery"

// activity sends a delivery or a plugin. A delivery whose event is not shown yet waits for
// it. It returns false when too many wait.
func (st *streaming) activity(a wire.Activity) bool {
	if a.Delivery != nil && a.Delivery.Seq > st.shown {
		if len(st.pending) == maxPending {
			return false
		}
		st.pending = append(st.pending, *a.Delivery)
		return true
	}
	st.out.Event(a.Kind, a)
	if len(st.activities) == 0 {
		st.out.Flush()
	}
	return true
}
