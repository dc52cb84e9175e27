package stored_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery/stored"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// fake is a Store with one handler, h.
type fake struct {
	backlog    event.Backlog
	deliveries []event.Delivery
	redriven   []uint64
	cursors    map[string]uint64
	err        error
}

func (f *fake) LoadBacklog(context.Context, string) (event.Backlog, error) { return f.backlog, f.err }

func (f *fake) Deliveries(_ context.Context, seq uint64) (list []event.Delivery, err error) {
	for _, d := range f.deliveries {
		if d.Seq == seq {
			list = append(list, d)
		}
	}
	return list, f.err
}

func (f *fake) Cursor(_ context.Context, name string) (seq uint64, found bool, err error) {
	seq, found = f.cursors[name]
	return seq, found, f.err
}

func (f *fake) CountRedriven(_ context.Context, _ string, from, to uint64) (n int, err error) {
	for _, seq := range f.redriven {
		if seq >= from && seq <= to {
			n++
		}
	}
	return n, f.err
}

func TestFigures(t *testing.T) {
	waits := func(seqs ...uint64) (list []event.Delivery) {
		for _, seq := range seqs {
			list = append(list, event.Delivery{Handler: "h", Seq: seq, Status: event.StatusRetrying})
		}
		return list
	}
	replay := &event.Replay{From: 3, To: 5, Resume: 8} // 6 to 8 are skipped
	for _, tt := range []struct {
		name     string
		backlog  event.Backlog
		redriven []uint64
		want     stored.Figures
	}{
		{"it was never opened", event.Backlog{}, nil, stored.Figures{}},
		{"it has had all", event.Backlog{Found: true, Cursor: 10}, nil, stored.Figures{Oldest: 11}},
		{"it is behind", event.Backlog{Found: true, Cursor: 7, Done: []uint64{9}}, nil, stored.Figures{Lag: 2, Oldest: 8}},
		{"events wait below and above its cursor", event.Backlog{Found: true, Cursor: 7, Open: waits(4, 9)}, nil, stored.Figures{Open: 1, Lag: 4, Oldest: 4}},
		{"redriven events", event.Backlog{Found: true, Cursor: 7}, []uint64{2, 3, 9}, stored.Figures{Open: 2, Lag: 5, Oldest: 8}},
		{"a replay", event.Backlog{Found: true, Cursor: 2, Replay: replay, Open: waits(4, 7)}, []uint64{1, 4, 6, 8, 9}, stored.Figures{Open: 4, Lag: 9, Oldest: 3}},
		{"a replay beyond its block", event.Backlog{Found: true, Cursor: 6, Replay: replay}, []uint64{6, 7}, stored.Figures{Open: 2, Lag: 4, Oldest: 7}},
	} {
		got, err := stored.FiguresOf(t.Context(), &fake{backlog: tt.backlog, redriven: tt.redriven}, "h", 10)
		if err != nil || got != tt.want {
			t.Errorf("%s: got %+v, %v; want %+v", tt.name, got, err, tt.want)
		}
	}
}

func TestDeliveryAndRetrying(t *testing.T) {
	pending, retrying := event.Delivery{Handler: "h", Seq: 1, Status: event.StatusPending}, event.Delivery{Handler: "h", Seq: 2, Status: event.StatusRetrying}
	f := &fake{deliveries: []event.Delivery{{Handler: "g", Seq: 2, Status: event.StatusOK}, retrying}, backlog: event.Backlog{Found: true, Open: []event.Delivery{pending, retrying}}}
	for seq, want := range map[uint64]event.Status{1: "", 2: event.StatusRetrying} {
		if got, err := stored.Delivery(t.Context(), f, "h", seq); err != nil || got.Status != want {
			t.Errorf("%d: got %q, %v; want %q", seq, got.Status, err, want)
		}
	}
	if list, err := stored.Retrying(t.Context(), f, "h"); err != nil || len(list) != 1 || list[0].Seq != 2 {
		t.Errorf("got %v, %v", list, err)
	}
}

func TestSampled(t *testing.T) {
	names := event.HandlerCursors("h")
	f := &fake{cursors: map[string]uint64{names.SampledFrom: 4, names.SampledTo: 6}}
	if got, err := stored.Sampled(t.Context(), f, "h"); err != nil || got != (event.Sampled{From: 4, To: 6}) {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestStoreErrors: an error of the store is returned by each function.
func TestStoreErrors(t *testing.T) {
	broken := errors.New("the disk is gone")
	f := &fake{backlog: event.Backlog{Found: true}, err: broken}
	for name, read := range map[string]func() error{
		"figures":  func() error { _, err := stored.FiguresOf(t.Context(), f, "h", 1); return err },
		"redriven": func() error { _, err := stored.CountRedriven(t.Context(), f, "h", 1, nil); return err },
		"delivery": func() error { _, err := stored.Delivery(t.Context(), f, "h", 1); return err },
		"retrying": func() error { _, err := stored.Retrying(t.Context(), f, "h"); return err },
		"sampled":  func() error { _, err := stored.Sampled(t.Context(), f, "h"); return err },
	} {
		if err := read(); !errors.Is(err, broken) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestRefuseSkip(t *testing.T) {
	for _, tt := range []struct {
		status event.Status
		open   bool
		code   fault.Code
		want   string
	}{
		{"", true, fault.NotFound, "does not get the event 7"},
		{"", false, fault.Conflict, "start it first"},
		{event.StatusOK, true, fault.Conflict, "final (ok)"},
		{event.StatusDead, false, fault.Conflict, "final (dead)"},
		{event.StatusPending, true, fault.Conflict, "try again later"},
		{event.StatusRetrying, false, "", ""},
	} {
		err := stored.RefuseSkip("h", 7, tt.status, tt.open)
		if tt.code == "" && err != nil || tt.code != "" && (!fault.Is(err, tt.code) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%q, open %v: got %v, want %s", tt.status, tt.open, err, tt.want)
		}
	}
	skipped := event.Delivery{Status: event.StatusRetrying, Attempts: 2, Due: time.Now()}.Skip(time.Now())
	if err := stored.RefuseSkip("h", 7, skipped.Status, false); !fault.Is(err, fault.Conflict) {
		t.Errorf("it can be skipped twice: %v", err)
	}
}
