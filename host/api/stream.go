package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

const (
	// streamWrite bounds how long a reader of the stream may take to accept what is
	// sent before its connection is closed.
	streamWrite = 10 * time.Second
	// streamPage is how many events a stream takes from the log at once.
	streamPage = 64
	// maxHeld bounds the deliveries that wait for their event to be shown.
	maxHeld = 256
)

// stream is GET /api/v1/events/stream?since: server-sent events, each named by
// its kind with a wire.Activity as data.
//
// What is published comes from the log itself, in the order of Seq, each once,
// with its Seq as the id. The first frame, "hello", has the Seq after which the
// stream starts as its id and its data. Without more it starts now; with Last-Event-ID, or
// since, after that Seq, however long ago. Deliveries and plugins are shown as
// they happen and have no id: those of the past, and those that happen while the
// stream catches up, are not shown. A delivery comes after its event. A reader
// that cannot keep up gets "event: lagged" and the end of the stream.
func (s *Server) stream(c echo.Context) error {
	after, err := s.streamStart(c)
	if err != nil {
		return err
	}
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		return fault.New(fault.Unavailable, "there are %d event streams already, and no more are given", s.cfg.MaxStreams)
	}
	w := c.Response()
	out := &sseWriter{w: w, control: http.NewResponseController(w)}
	if err := out.control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("event stream: %w", err)
	}
	st := &streaming{server: s, out: out, shown: after, caughtUp: after}
	if after < s.cfg.Published.Last() { // which may have been removed, and never come
		newest, err := s.cfg.Events.Events(c.Request().Context(), event.Query{Limit: 1})
		if err != nil {
			return err
		}
		for _, rec := range newest {
			st.caughtUp = rec.Seq
		}
	}
	ctx, cancel := context.WithCancel(c.Request().Context())
	batches, wait := s.follow(ctx, s.cfg.Published.Follow(after+1))
	defer wait()
	defer cancel() // before the wait
	if st.shown >= st.caughtUp {
		st.activities = s.cfg.Activities.Subscribe(ctx)
	}

	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // or nginx would collect it
	w.WriteHeader(http.StatusOK)
	// A reader that comes again before anything was published goes on from here. The
	// frame has data: many clients forget the id of one without.
	out.write(fmt.Appendf(nil, ": activity of this host, after %d\nid: %[1]d\nevent: hello\ndata: {\"after\":%[1]d}\n\n", after))
	out.flush()
	return st.run(ctx, batches)
}

// streamStart is the Seq after which a stream starts. Last-Event-ID, which a
// browser sends when it connects again, goes before since, which it repeats.
func (s *Server) streamStart(c echo.Context) (uint64, error) {
	q, err := query(c, "since")
	if err != nil {
		return 0, err
	}
	last := s.cfg.Published.Last()
	field, text := "since", q.Get("since")
	if ids := c.Request().Header.Values("Last-Event-ID"); len(ids) > 0 && ids[0] != "" {
		field, text = "Last-Event-ID", ids[0]
	}
	if text == "" {
		return last, nil
	}
	after, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, fault.Field(field, "%q is not the id of a frame of this stream: a Seq of the log", shown(text))
	}
	// Beyond the end there is nothing to wait for: the log is another one than
	// the reader has known.
	return min(after, last), nil
}

// follow reads a follower in a goroutine of its own, which has ended when wait
// returns; ctx must have ended by then. The channel is closed when there is no more.
func (s *Server) follow(ctx context.Context, f Follower) (batches <-chan []event.Record, wait func()) {
	ch := make(chan []event.Record)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(ch)
		defer f.Close()
		buf := make([]event.Record, streamPage)
		for {
			n, err := f.Next(ctx, buf)
			if err != nil {
				if ctx.Err() == nil && !fault.Is(err, fault.Unavailable) {
					s.cfg.Logger.Error("an event stream cannot read the log", "error", err)
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
	server     *Server
	out        *sseWriter
	shown      uint64                 // every event up to here was shown, or is older than the stream
	caughtUp   uint64                 // the log's end when the stream began: until then it catches up
	activities <-chan wire.Activity   // nil while it catches up
	held       []wire.DeliveryOfEvent // whose events are not shown yet
}

// run shows everything until the reader leaves, is too slow, or the host closes.
func (st *streaming) run(ctx context.Context, batches <-chan []event.Record) error {
	out := st.out
	heartbeat := time.NewTicker(st.server.cfg.Heartbeat)
	defer heartbeat.Stop()
	for out.err == nil {
		select {
		case batch, open := <-batches:
			if !open {
				return st.end(ctx)
			}
			st.published(ctx, batch)
		case a, open := <-st.activities:
			switch {
			case open && st.activity(a):
			case ctx.Err() != nil: // the reader went away
				return nil
			default:
				out.event("lagged", map[string]string{"reason": "the reader was too slow; connect again with Last-Event-ID for what is published, the deliveries meanwhile are not shown"})
				out.flush()
				return out.err
			}
		case <-heartbeat.C:
			out.comment("")
			out.flush()
		case <-st.server.closing:
			return st.end(ctx)
		case <-ctx.Done():
			return nil
		}
	}
	return out.err
}

// end says that there is no more, unless it is the reader who has left.
func (st *streaming) end(ctx context.Context) error {
	if ctx.Err() != nil {
		return nil
	}
	reason := "the host is shutting down"
	if !st.server.isClosing() {
		reason = "the log cannot be read now; connect again with Last-Event-ID"
	}
	st.out.event("closing", map[string]string{"reason": reason})
	st.out.flush()
	return st.out.err
}

// published shows events, and the deliveries that have waited for them.
func (st *streaming) published(ctx context.Context, batch []event.Record) {
	for _, rec := range batch {
		st.out.published(rec)
		st.shown = rec.Seq
		n := 0
		for _, d := range st.held {
			if d.Seq > st.shown {
				st.held[n] = d
				n++
				continue
			}
			st.out.event(deliveryKind, wire.Activity{Kind: deliveryKind, Delivery: &d})
		}
		st.held = st.held[:n]
	}
	if st.activities == nil && st.shown >= st.caughtUp {
		st.activities = st.server.cfg.Activities.Subscribe(ctx)
	}
	st.out.flush()
}

const deliveryKind = "delivery"

// activity shows a delivery or a plugin. A delivery whose event is not shown yet
// waits for that. It answers false when too many wait.
func (st *streaming) activity(a wire.Activity) bool {
	if a.Delivery != nil && a.Delivery.Seq > st.shown {
		if len(st.held) == maxHeld {
			return false
		}
		st.held = append(st.held, *a.Delivery)
		return true
	}
	st.out.event(a.Kind, a)
	if len(st.activities) == 0 {
		st.out.flush()
	}
	return true
}
