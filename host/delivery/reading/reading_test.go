package reading_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-host/berth/host/delivery/engine"
	"github.com/berth-host/berth/host/delivery/reading"
	"github.com/berth-host/berth/host/event"
)

// log has the events of some Seqs, up to last.
type log struct {
	mu    sync.Mutex
	seqs  []uint64
	last  uint64
	grown chan struct{}
	fails int // reads
}

func newLog(last uint64, seqs ...uint64) *log {
	return &log{seqs: seqs, last: last, grown: make(chan struct{})}
}

func (l *log) grow(last uint64, seqs ...uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seqs, l.last = append(l.seqs, seqs...), last
	close(l.grown)
	l.grown = make(chan struct{})
}

func (l *log) Last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

func (l *log) Read(_ context.Context, from uint64, limit int) (list []event.Record, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fails > 0 {
		l.fails--
		return nil, errors.New("the disk is slow")
	}
	for _, seq := range l.seqs {
		if seq >= from && len(list) < limit {
			list = append(list, event.Record{Seq: seq})
		}
	}
	return list, nil
}

func (l *log) Subscribe(from uint64) engine.Reader { return &sub{l, from} }

type sub struct {
	*log
	next uint64
}

func (s *sub) Close() {}

func (s *sub) Next(ctx context.Context, buf []event.Record) (int, error) {
	for {
		s.mu.Lock()
		grown := s.grown
		s.mu.Unlock()
		list, err := s.Read(ctx, s.next, len(buf))
		if len(list) > 0 {
			s.next = list[len(list)-1].Seq + 1
			return copy(buf, list), nil
		}
		if err != nil {
			return 0, err
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// handler has capacity for a number of events.
type handler struct {
	mu       sync.Mutex
	p        reading.Position
	capacity int
	grown    chan struct{}
	got      []uint64
	ended    int // replays
	paused   int
	stuck    bool
}

func newHandler(p reading.Position) *handler {
	return &handler{p: p, capacity: 1000, grown: make(chan struct{}, 1)}
}

func (h *handler) Position() reading.Position {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.p
}

func (h *handler) Arrive(ctx context.Context, records []event.Record) int {
	for {
		h.mu.Lock()
		n := min(len(records), h.capacity)
		h.capacity -= n
		for _, rec := range records[:n] {
			h.got = append(h.got, rec.Seq)
			h.p.ReadTo = rec.Seq
		}
		h.mu.Unlock()
		if n > 0 {
			return n
		}
		select {
		case <-h.grown:
		case <-ctx.Done():
			return 0
		}
	}
}

func (h *handler) EndReplay(_ context.Context, r *event.Replay) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended++
	if h.ended == 1 {
		return errors.New("try again")
	}
	h.p.ReadTo = max(h.p.ReadTo, r.To, r.Resume)
	return nil
}

func (h *handler) SkipTo(seq uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.p.ReadTo = max(h.p.ReadTo, seq)
}

func (h *handler) Pause(ctx context.Context, _ error) bool {
	h.mu.Lock()
	h.paused++
	h.stuck = true
	h.mu.Unlock()
	select {
	case <-time.After(time.Second):
		return true
	case <-ctx.Done():
		return false
	}
}

func (h *handler) Recovered() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stuck = false
}

// expect compares what the handler has when the reader waits.
func (h *handler) expect(t *testing.T, readTo uint64, got ...uint64) {
	t.Helper()
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Equal(h.got, got) || h.p.ReadTo != readTo || h.stuck {
		t.Errorf("it has read %v and is at %d, want %v and %d; stuck: %v", h.got, h.p.ReadTo, got, readTo, h.stuck)
	}
	h.got = nil
}

// read reads in the background until stop is called, or the test ends.
func read(t *testing.T, l *log, h *handler) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var background sync.WaitGroup
	background.Go(func() { reading.Read(ctx, l, h) })
	stop = func() {
		cancel()
		background.Wait()
	}
	t.Cleanup(stop)
	return stop
}

func TestReadsOnAsEventsArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, h := newLog(3, 1, 2, 3), newHandler(reading.Position{ReadTo: 1})
		read(t, l, h)
		h.expect(t, 3, 2, 3)
		l.grow(5, 5)
		h.expect(t, 5, 5)
	})
}

// TestReadsToABound: the position gets to the bound even when no event is there, and a reader with
// another bound continues there.
func TestReadsToABound(t *testing.T) {
	for _, tt := range []struct {
		name  string
		log   *log
		until uint64
		want  []uint64
	}{
		{"an event is there", newLog(9, 3, 5, 9), 5, []uint64{3, 5}},
		{"an earlier one is the last", newLog(9, 3, 5, 9), 7, []uint64{3, 5}},
		{"it is the end of the log", newLog(5, 3, 5), 5, []uint64{3, 5}},
		{"the last event of the log was removed", newLog(7, 3, 5), 7, []uint64{3, 5}},
		{"there are no events", newLog(7), 7, nil},
		{"it is the present position", newLog(9, 3, 5, 9), 2, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLog(tt.log.last, tt.log.seqs...)
				h := newHandler(reading.Position{ReadTo: 2, Until: tt.until})
				stop := read(t, l, h)
				h.expect(t, tt.until, tt.want...)
				l.grow(11, 10, 11)
				h.expect(t, tt.until)
				stop()
				h.p.Until = 10
				stop = read(t, l, h)
				var beyond []uint64
				for _, seq := range l.seqs {
					if seq > tt.until && seq <= 10 {
						beyond = append(beyond, seq)
					}
				}
				h.expect(t, 10, beyond...)
				stop()
				h.p.Until = 0
				read(t, l, h)
				h.expect(t, 11, 11)
				l.grow(12, 12)
				h.expect(t, 12, 12)
			})
		})
	}
}

// TestWaitsForTheLogToGetToTheBound: another host has seen more of the log.
func TestWaitsForTheLogToGetToTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, h := newLog(3, 1, 2, 3), newHandler(reading.Position{Until: 6})
		read(t, l, h)
		h.expect(t, 3, 1, 2, 3)
		l.grow(5, 5)
		time.Sleep(time.Second) // of the test's own clock
		h.expect(t, 5, 5)
		l.grow(8, 8)
		time.Sleep(time.Second) // of the test's own clock
		h.expect(t, 6)
	})
}

func TestWaitsForCapacity(t *testing.T) {
	for _, until := range []uint64{0, 6} {
		synctest.Test(t, func(t *testing.T) {
			l, h := newLog(6, 1, 2, 3, 4, 5, 6), newHandler(reading.Position{Until: until})
			h.capacity = 4
			read(t, l, h)
			h.expect(t, 4, 1, 2, 3, 4)
			h.mu.Lock()
			h.capacity = 10
			h.mu.Unlock()
			h.grown <- struct{}{}
			h.expect(t, 6, 5, 6)
		})
	}
}

func TestReplays(t *testing.T) {
	for _, tt := range []struct {
		until  uint64
		readTo uint64
		want   []uint64
		beyond []uint64 // without the bound
	}{
		{0, 9, []uint64{2, 3, 4, 8, 9}, nil},
		{8, 8, []uint64{2, 3, 4, 8}, []uint64{9}},
		{7, 7, []uint64{2, 3, 4}, []uint64{8, 9}},
		{3, 3, []uint64{2, 3}, []uint64{4, 8, 9}}, // it was not stored with this bound
	} {
		t.Run(fmt.Sprint(tt.until), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLog(9, 1, 2, 3, 4, 5, 6, 7, 8, 9)
				l.fails = 2
				h := newHandler(reading.Position{ReadTo: 1, Until: tt.until, Replay: &event.Replay{From: 2, To: 4, Resume: 7}})
				stop := read(t, l, h)
				time.Sleep(10 * time.Second) // of the test's own clock
				h.expect(t, tt.readTo, tt.want...)
				stop()
				h.p.Until = 0
				read(t, l, h)
				time.Sleep(10 * time.Second) // of the test's own clock
				h.expect(t, 9, tt.beyond...)
				if h.paused < 2 || h.ended != 2 {
					t.Errorf("it paused %d times, and ended %d replays", h.paused, h.ended)
				}
			})
		})
	}
}
