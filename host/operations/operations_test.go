package operations

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

type filter = wire.OperationFilter

func TestFilters(t *testing.T) {
	for _, tt := range []struct {
		kind   string
		filter filter
		want   int // of 1000 events
	}{
		{Redrive, filter{}, 100},
		{Redrive, filter{EventType: "type_b"}, 100},
		{Redrive, filter{EventType: "type_a"}, 0},
		{Redrive, filter{EventType: "type_*"}, 100},
		{Redrive, filter{Subject: "S-3"}, 100},
		{Redrive, filter{Subject: "S-1"}, 0},
		{Redrive, filter{When: "S-3"}, 100},
		{Redrive, filter{Class: "trap"}, 100},
		{Redrive, filter{Class: "skipped"}, 0},
		{Redrive, filter{Issue: "1"}, 50},
		{Redrive, filter{Issue: "2", From: "501"}, 25},
		{Redrive, filter{From: "4", To: "14"}, 2},
		{Redrive, filter{From: "10m"}, 1},
		{Retry, filter{}, 100},
		{Retry, filter{Class: "timeout", Subject: "S-2"}, 100},
		{Retry, filter{Class: "trap"}, 0},
		{Retry, filter{Issue: "2"}, 50},
		{Retry, filter{From: "8", To: "17"}, 1},
		{Retry, filter{EventType: "type_a"}, 0},
		{Replay, filter{From: "earliest", EventType: "*"}, 800}, // the handler does not take one subject of five
		{Replay, filter{From: "earliest", EventType: "type_a"}, 400},
		{Replay, filter{From: "991", To: "995", EventType: "*"}, 4},
		{Replay, filter{From: "earliest", When: "S-4"}, 0},
		{Replay, filter{From: "earliest", To: "10m", Subject: "S-0"}, 198},
	} {
		t.Run(fmt.Sprintf("%s %+v", tt.kind, tt.filter), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newFakeHost(t, 1000)
				r := setup(t, h)
				defer closeRunner(t, r)
				in := wire.NewOperation{Kind: tt.kind, Plugin: "pricing", Filter: tt.filter}
				p, err := r.Preview(t.Context(), in)
				if err != nil || p.Matches != uint64(tt.want) || !p.Exact || p.Examined < p.Matches || len(p.Sample) != min(tt.want, 10) {
					t.Errorf("preview %+v, %v; want %d", p, err, tt.want)
				}
				if len(h.calls) != 0 {
					t.Errorf("the preview gave %+v", h.calls)
				}
				o := ended(t, r, start(t, r, in).ID)
				if o.State != wire.OperationDone || o.Done != uint64(tt.want) || o.Total != o.Done || o.FinishedAt == nil {
					t.Errorf("got %+v", o)
				}
				call := "retry"
				if tt.kind == Replay {
					call = "requeue"
				}
				seqs := h.seqs(call)
				if len(seqs) != tt.want || !slices.IsSorted(seqs) {
					t.Errorf("%d events, in the order of the log: %v", len(seqs), slices.IsSorted(seqs))
				}
				for i, id := range p.Sample {
					if at := h.log[seqs[i]-1].Event.ID(); at != id {
						t.Errorf("sample %d is %s, want %s", i, id, at)
					}
				}
			})
		})
	}
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		in    wire.NewOperation
		code  fault.Code
		field string
	}{
		{wire.NewOperation{Kind: "purge", Plugin: "pricing"}, fault.Invalid, "kind"},
		{wire.NewOperation{Kind: Redrive}, fault.Invalid, "plugin"},
		{wire.NewOperation{Kind: Redrive, Plugin: "unknown"}, fault.NotFound, ""},
		{wire.NewOperation{Kind: Redrive, Plugin: "pricing", Rate: -1}, fault.Invalid, "rate"},
		{wire.NewOperation{Kind: Redrive, Plugin: "pricing", Rate: MaxRate + 1}, fault.Invalid, "rate"},
		{wire.NewOperation{Kind: Redrive, Plugin: "pricing", Name: strings.Repeat("ü", MaxName+1)}, fault.Invalid, "name"},
		{wire.NewOperation{Kind: Redrive, Plugin: "pricing", Filter: filter{Class: "bad"}}, fault.Invalid, "filter.class"},
		{wire.NewOperation{Kind: Redrive, Plugin: "pricing", Filter: filter{Issue: "9"}}, fault.NotFound, ""},
		{wire.NewOperation{Kind: Redrive, Plugin: "pricing", Filter: filter{Issue: "3"}}, fault.Invalid, "filter.issue"},
		{wire.NewOperation{Kind: Redrive, Plugin: "pricing", Filter: filter{When: "bad"}}, fault.Invalid, "filter.when"},
		{wire.NewOperation{Kind: Redrive, Plugin: "pricing", Filter: filter{Subject: strings.Repeat("x", event.MaxText+1)}}, fault.Invalid, "filter.subject"},
		{wire.NewOperation{Kind: Redrive, Plugin: "pricing", Filter: filter{From: "yesterday"}}, fault.Invalid, "filter.from"},
		{wire.NewOperation{Kind: Redrive, Plugin: "pricing", Filter: filter{To: "later"}}, fault.Invalid, "filter.to"},
		{wire.NewOperation{Kind: Redrive, Plugin: "pricing", Filter: filter{To: "earliest"}}, fault.Invalid, "filter.to"},
		{wire.NewOperation{Kind: Redrive, Plugin: "pricing", Filter: filter{From: "11"}}, fault.Invalid, "filter.from"},
		{wire.NewOperation{Kind: Replay, Plugin: "pricing"}, fault.Invalid, "filter.from"},
		{wire.NewOperation{Kind: Replay, Plugin: "pricing", Filter: filter{From: "5", To: "4"}}, fault.Invalid, "filter.to"},
		{wire.NewOperation{Kind: Replay, Plugin: "pricing", Filter: filter{From: "1", Class: "trap"}}, fault.Invalid, "filter.class"},
		{wire.NewOperation{Kind: Replay, Plugin: "pricing", Filter: filter{From: "1", Issue: "1"}}, fault.Invalid, "filter.issue"},
	} {
		h := newFakeHost(t, 10)
		r := setup(t, h)
		_, previewed := r.Preview(t.Context(), tt.in)
		_, started := r.Start(t.Context(), tt.in, "ada")
		for _, err := range []error{previewed, started} {
			var f *fault.Error
			if !errors.As(err, &f) || f.Code != tt.code || f.Field != tt.field {
				t.Errorf("%+v: got %v", tt.in, err)
			}
		}
		closeRunner(t, r)
		if len(h.docs) != 0 || len(h.calls) != 0 {
			t.Errorf("%+v: something has changed", tt.in)
		}
	}
}

func TestRateIsSmooth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHost(t, 2000)
		r := setup(t, h)
		defer closeRunner(t, r)
		began := time.Now()
		o := ended(t, r, start(t, r, wire.NewOperation{Kind: Redrive, Rate: 50}).ID)
		took := time.Since(began)
		if o.State != wire.OperationDone || o.Done != 200 || took < 3800*time.Millisecond || took > 4200*time.Millisecond {
			t.Errorf("%+v took %s, want about 4s", o, took)
		}
		for i, c := range h.calls {
			if len(c.seqs) != 5 {
				t.Errorf("%d events at once", len(c.seqs))
			}
			if i > 1 && c.at.Sub(h.calls[i-1].at).Round(time.Millisecond) != 100*time.Millisecond {
				t.Errorf("%s after the events before", c.at.Sub(h.calls[i-1].at))
			}
		}
		// A rate of one event a second, and many.
		if o := ended(t, r, start(t, r, wire.NewOperation{Kind: Retry, Rate: 1, Filter: filter{To: "30"}}).ID); o.Done != 3 {
			t.Errorf("got %+v", o)
		}
		if o := ended(t, r, start(t, r, wire.NewOperation{Kind: Retry, Rate: MaxRate}).ID); o.Done != 197 {
			t.Errorf("got %+v", o)
		}
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHost(t, 1000)
		r := setup(t, h)
		defer closeRunner(t, r)
		id := start(t, r, wire.NewOperation{Kind: Redrive, Rate: 10, Name: "after the fix"}).ID
		time.Sleep(2050 * time.Millisecond) // of the test's own clock
		if r.Running() != 1 {
			t.Errorf("%d are running", r.Running())
		}
		o, err := r.Cancel(t.Context(), id)
		if err != nil || o.State != wire.OperationCancelled || o.FinishedAt == nil || o.Reason != "" || o.Name != "after the fix" {
			t.Fatalf("got %+v, %v", o, err)
		}
		if n := len(h.seqs("retry")); o.Done != uint64(n) || n != 21 || o.Total != 100 {
			t.Errorf("%d events were given, and %d of %d are counted", n, o.Done, o.Total)
		}
		again, err := r.Cancel(t.Context(), id)
		if err != nil || again.State != wire.OperationCancelled {
			t.Errorf("cancelled again: %+v, %v", again, err)
		}
		done := ended(t, r, start(t, r, wire.NewOperation{Kind: Redrive}).ID)
		if _, err := r.Cancel(t.Context(), done.ID); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "is done") {
			t.Errorf("one that is done: %v", err)
		}
		if _, err := r.Cancel(t.Context(), "77"); !fault.Is(err, fault.NotFound) {
			t.Errorf("one that is not there: %v", err)
		}
	})
}

func TestWholeReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHost(t, 100)
		r := setup(t, h)
		defer closeRunner(t, r)
		id := start(t, r, wire.NewOperation{Kind: Replay, Filter: filter{From: "11", To: "60"}}).ID
		synctest.Wait()
		if c := h.calls; len(c) != 1 || c[0].call != "replay" || !slices.Equal(c[0].seqs, []uint64{11, 60}) {
			t.Fatalf("calls %+v", c)
		}
		if _, err := r.Start(t.Context(), wire.NewOperation{Kind: Replay, Plugin: "pricing", Filter: filter{From: "1"}}, "ada"); !fault.Is(err, fault.Conflict) {
			t.Errorf("a second one: %v", err)
		}
		for _, step := range []struct {
			cursor, done uint64
			state        wire.OperationState
		}{{10, 0, wire.OperationRunning}, {35, 25, wire.OperationRunning}, {80, 50, wire.OperationDone}} {
			h.do(func() { h.cursor = step.cursor })
			time.Sleep(1500 * time.Millisecond) // of the test's own clock
			if o, _ := r.Show(id); o.State != step.state || o.Done != step.done || o.Total != 50 {
				t.Errorf("at %d: %+v", step.cursor, o)
			}
		}
	})
}

func TestCancelledReplayEnds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		cursor uint64
		err    error
		state  wire.OperationState
		last   []uint64
	}{
		{"in its midst", 35, nil, wire.OperationCancelled, []uint64{36, 36}},
		{"at its beginning", 10, nil, wire.OperationCancelled, []uint64{11, 11}},
		{"when it cannot be ended", 35, errors.New("no disk"), wire.OperationFailed, []uint64{11, 60}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newFakeHost(t, 100)
				r := setup(t, h)
				defer closeRunner(t, r)
				id := start(t, r, wire.NewOperation{Kind: Replay, Filter: filter{From: "11", To: "60"}}).ID
				synctest.Wait()
				h.do(func() { h.cursor, h.failures["replay"] = tt.cursor, tt.err })
				_, err := r.Cancel(t.Context(), id)
				if o, _ := r.Show(id); o.State != tt.state || (err == nil) != (tt.err == nil) {
					t.Errorf("%+v, %v", o, err)
				}
				if c := h.calls[len(h.calls)-1]; c.call != "replay" || !slices.Equal(c.seqs, tt.last) {
					t.Errorf("the last call is %+v", c)
				}
			})
		})
	}
}

func TestReplacedReplayFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHost(t, 100)
		r := setup(t, h)
		defer closeRunner(t, r)
		id := start(t, r, wire.NewOperation{Kind: Replay, Filter: filter{From: "11"}}).ID
		synctest.Wait()
		h.do(func() { h.cursor = 40 })
		time.Sleep(1500 * time.Millisecond) // of the test's own clock
		h.do(func() { h.cursor = 5 })
		if o := ended(t, r, id); o.State != wire.OperationFailed || !strings.Contains(o.Reason, "another replay") {
			t.Errorf("got %+v", o)
		}
	})
}

func TestSlowHandlerIsNotFlooded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHost(t, 30_000)
		h.paused = true
		r := setup(t, h)
		defer closeRunner(t, r)
		id := start(t, r, wire.NewOperation{Kind: Replay, Filter: filter{From: "1", EventType: "*"}}).ID
		time.Sleep(time.Minute) // of the test's own clock
		o, _ := r.Show(id)
		n, _ := h.CountRedriven(t.Context(), "pricing", 1, 30_000)
		if o.State != wire.OperationRunning || n < maxPending || n >= maxPending+maxChunk || !strings.Contains(o.Reason, "it waits") {
			t.Errorf("%d are pending: got %+v", n, o)
		}
		h.do(func() {
			h.paused = false
			for seq, d := range h.state {
				if d.Status == event.StatusPending {
					d.Status = event.StatusOK
					h.state[seq] = d
				}
			}
		})
		if o := ended(t, r, id); o.State != wire.OperationDone || o.Done <= maxPending || o.Reason != "" {
			t.Errorf("got %+v", o)
		}
	})
}

func TestErrorsFailAnOperation(t *testing.T) {
	for _, tt := range []struct{ call, kind string }{
		{"retry", Redrive}, {"retry", Retry}, {"dead letters", Redrive}, {"retrying", Retry}, {"read", Retry}, {"read", Replay}, {"requeue", Replay},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newFakeHost(t, 100)
			r := setup(t, h)
			defer closeRunner(t, r)
			h.failures[tt.call] = &fault.Error{Code: fault.Exhausted, Reason: "the disk is full: db.internal\nand more", Private: "db.internal"}
			o := ended(t, r, start(t, r, wire.NewOperation{Kind: tt.kind, Rate: 50, Filter: filter{From: "1"}}).ID)
			if o.State != wire.OperationFailed || o.Reason == "" || !strings.HasSuffix(o.Reason, "the disk is full") || o.FinishedAt == nil {
				t.Errorf("%+v: got %+v", tt, o)
			}
		})
	}
}

func TestUninstalledPluginFailsAnOperation(t *testing.T) {
	for _, in := range []wire.NewOperation{{Kind: Replay, Filter: filter{From: "1", To: "900"}}, {Kind: Replay, Rate: 10, Filter: filter{From: "1"}}} {
		synctest.Test(t, func(t *testing.T) {
			h := newFakeHost(t, 1000)
			r := setup(t, h)
			defer closeRunner(t, r)
			id := start(t, r, in).ID
			synctest.Wait()
			h.do(func() { h.gone = true })
			if o := ended(t, r, id); o.State != wire.OperationFailed || !strings.Contains(o.Reason, "uninstalled") {
				t.Errorf("got %+v", o)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHost(t, 1000)
		r := setup(t, h)
		defer closeRunner(t, r)
		for range MaxRunning {
			start(t, r, wire.NewOperation{Kind: Retry, Rate: 1})
		}
		if _, err := r.Start(t.Context(), wire.NewOperation{Kind: Retry, Plugin: "pricing"}, "ada"); !fault.Is(err, fault.Conflict) {
			t.Errorf("one too many: %v", err)
		}
		if _, err := r.Cancel(t.Context(), "3"); err != nil {
			t.Fatal(err)
		}
		for range MaxKept {
			ended(t, r, start(t, r, wire.NewOperation{Kind: Redrive, Filter: filter{Class: "exit"}}).ID)
		}
		list, err := r.List(spec.OperationQuery{})
		if err != nil || len(list.Items) != MaxKept || len(h.docs) != MaxKept {
			t.Errorf("%d operations and %d documents are kept, %v", len(list.Items), len(h.docs), err)
		}
		if running, _ := r.List(spec.OperationQuery{State: string(wire.OperationRunning)}); len(running.Items) != MaxRunning-1 {
			t.Errorf("%d running ones are kept", len(running.Items))
		}
	})
}

func TestPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHost(t, 100)
		r := setup(t, h)
		defer closeRunner(t, r)
		for i := range 9 {
			ended(t, r, start(t, r, wire.NewOperation{Kind: []string{Redrive, Retry, Replay}[i%3], Rate: 1000, Filter: filter{From: "90"}}).ID)
		}
		var ids []string
		for cursor := ""; ; {
			page, err := r.List(spec.OperationQuery{Limit: 4, Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range page.Items {
				ids = append(ids, o.ID)
			}
			if page.Next == nil {
				break
			}
			cursor = *page.Next
		}
		if !slices.Equal(ids, []string{"9", "8", "7", "6", "5", "4", "3", "2", "1"}) {
			t.Errorf("got %v", ids)
		}
		for _, q := range []spec.OperationQuery{{Kind: Retry}, {Kind: Redrive, Plugin: "pricing", State: string(wire.OperationDone)}} {
			if page, err := r.List(q); err != nil || len(page.Items) != 3 {
				t.Errorf("%+v: %d, %v", q, len(page.Items), err)
			}
		}
		if page, err := r.List(spec.OperationQuery{Plugin: "other"}); err != nil || len(page.Items) != 0 {
			t.Errorf("%d of another plugin, %v", len(page.Items), err)
		}
		for _, cursor := range []string{"x", "01", "-1"} {
			if _, err := r.List(spec.OperationQuery{Cursor: cursor}); !fault.Is(err, fault.Invalid) {
				t.Errorf("cursor %q: %v", cursor, err)
			}
		}
	})
}

func TestRefusedStart(t *testing.T) {
	h := newFakeHost(t, 100)
	r := setup(t, h)
	h.failures["put"] = fault.New(fault.Exhausted, "the disk is full")
	if _, err := r.Start(t.Context(), wire.NewOperation{Kind: Redrive, Plugin: "pricing"}, "ada"); !fault.Is(err, fault.Exhausted) {
		t.Errorf("got %v", err)
	}
	if list, _ := r.List(spec.OperationQuery{}); len(list.Items) != 0 || len(h.calls) != 0 {
		t.Errorf("got %+v, and %+v were given", list, h.calls)
	}
	closeRunner(t, r)
	delete(h.failures, "put")
	if _, err := r.Start(t.Context(), wire.NewOperation{Kind: Redrive, Plugin: "pricing"}, "ada"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("after Close: %v", err)
	}
}

func TestCloseKeepsPosition(t *testing.T) {
	for _, in := range []wire.NewOperation{{Kind: Redrive, Rate: 10}, {Kind: Retry, Rate: 10}, {Kind: Replay, Rate: 100, Filter: filter{From: "1"}},
		{Kind: Replay, Filter: filter{From: "1"}}} {
		synctest.Test(t, func(t *testing.T) {
			h := newFakeHost(t, 1000)
			r := setup(t, h)
			id := start(t, r, in).ID
			time.Sleep(2050 * time.Millisecond) // of the test's own clock
			h.do(func() { h.cursor += 500 })
			closeRunner(t, r)
			before, _ := r.Show(id)
			if _, err := r.Cancel(t.Context(), id); !fault.Is(err, fault.Unavailable) {
				t.Errorf("cancelled after Close: %v", err)
			}
			if before.State != wire.OperationRunning || before.FinishedAt != nil {
				t.Errorf("after Close: %+v", before)
			}
			r = setup(t, h)
			defer closeRunner(t, r)
			if o, err := r.Show(id); err != nil || o.State != wire.OperationRunning || o.Name != in.Kind+" pricing" || o.StartedBy != "ada" {
				t.Errorf("after a start: %+v, %v", o, err)
			}
			h.do(func() { h.cursor = 1000 })
			o := ended(t, r, id)
			seqs := h.seqs(map[string]string{Redrive: "retry", Retry: "retry", Replay: "requeue"}[in.Kind])
			if o.State != wire.OperationDone || o.Done != o.Total || len(seqs) != 0 && uint64(len(seqs)) != o.Total || !slices.IsSorted(seqs) {
				t.Errorf("got %+v; %d were given", o, len(seqs))
			}
			if next := start(t, r, wire.NewOperation{Kind: Redrive}); next.ID != "2" {
				t.Errorf("the next id is %s", next.ID)
			}
		})
	}
}

func TestOperationOfInvalidConditionFails(t *testing.T) {
	h := newFakeHost(t, 100)
	h.docs["4"] = event.Document{Kind: kind, ID: "4", Body: `{"id":"4","kind":"redrive","plugin":"pricing","filter":{"when":"bad"},"state":"running","to_seq":9}`}
	for id, body := range map[string]string{"5": "{", "6": `{"id":"6"}`, "7": `{"id":"7","kind":"redrive","plugin":"x","state":"lost"}`} {
		h.docs[id] = event.Document{Kind: kind, ID: id, Body: body}
	}
	r := setup(t, h)
	defer closeRunner(t, r)
	if o := ended(t, r, "4"); o.State != wire.OperationFailed || !strings.Contains(o.Reason, "is bad") {
		t.Errorf("got %+v", o)
	}
	if o := start(t, r, wire.NewOperation{Kind: Redrive}); o.ID != "8" {
		t.Errorf("the next id is %s", o.ID)
	}
}

func TestOperationsContinueOnceHandlersAreLoaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHost(t, 100)
		r := setup(t, h)
		in := wire.NewOperation{Kind: Replay, Plugin: "pricing", Rate: 10, Filter: filter{From: "1"}}
		id := start(t, r, in).ID
		closeRunner(t, r)
		calls := len(h.calls)
		h.loaded, h.missing = make(chan struct{}), true
		r = setup(t, h)
		time.Sleep(time.Minute) // of the test's own clock
		if len(h.calls) != calls {
			t.Errorf("events were given before: %+v", h.calls[calls:])
		}
		closeRunner(t, r)
		if o, _ := r.Show(id); o.State != wire.OperationRunning {
			t.Errorf("closed before: %+v", o)
		}
		r = setup(t, h)
		defer closeRunner(t, r)
		close(h.loaded)
		if o := ended(t, r, id); o.State != wire.OperationFailed || !strings.Contains(o.Reason, "file is missing") {
			t.Errorf("without the plugin's file: %+v", o)
		}
		if _, err := r.Preview(t.Context(), in); !fault.Is(err, fault.Conflict) {
			t.Errorf("preview: %v", err)
		}
	})
}

func TestCloseDoesNotHang(t *testing.T) {
	h := newFakeHost(t, 100)
	h.entered = make(chan struct{}) // no call returns
	r := setup(t, h)
	start(t, r, wire.NewOperation{Kind: Redrive})
	closeRunner(t, r)
	if len(h.calls) != 0 {
		t.Errorf("got %+v", h.calls)
	}
}

// TestCrashes restarts a host at random moments from what it had stored by then: every
// matching event is given, none that does not match is, and at most the events of one second
// are given twice.
func TestCrashes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		kind := rapid.SampledFrom(Kinds()).Draw(rt, "kind")
		rate := rapid.SampledFrom([]int{7, 50, 300}).Draw(rt, "rate")
		crashes := rapid.SliceOfN(rapid.IntRange(1, 4000), 0, 4).Draw(rt, "ms until a crash")
		f := filter{EventType: rapid.SampledFrom([]string{"type_b", "type_*"}).Draw(rt, "type"), From: "101"}
		synctest.Test(t, func(t *testing.T) {
			h := newFakeHost(t, 600)
			r := setup(t, h)
			in := wire.NewOperation{Kind: kind, Plugin: "pricing", Rate: rate, Filter: f}
			p, err := r.Preview(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			id := start(t, r, in).ID
			for _, ms := range crashes {
				time.Sleep(time.Duration(ms) * time.Millisecond) // of the test's own clock
				synctest.Wait()
				var stored map[string]event.Document
				h.do(func() { stored = maps.Clone(h.docs) })
				closeRunner(t, r) // its last write is lost
				h.docs = stored
				r = setup(t, h)
			}
			o := ended(t, r, id)
			closeRunner(t, r)
			if o.State != wire.OperationDone {
				t.Fatalf("got %+v", o)
			}
			call := map[string]string{Redrive: "retry", Retry: "retry", Replay: "requeue"}[kind]
			seqs := h.seqs(call)
			total := len(seqs)
			slices.Sort(seqs)
			distinct := slices.Compact(seqs)
			if uint64(len(distinct)) != p.Matches {
				t.Errorf("%d events were given, want %d", len(distinct), p.Matches)
			}
			if repeated := total - len(distinct); repeated > len(crashes)*(rate+maxChunk) {
				t.Errorf("%d events were given again", repeated)
			}
			if distinct[0] <= 100 {
				t.Errorf("event %d does not match", distinct[0])
			}
		})
	})
}

func FuzzRestore(f *testing.F) {
	f.Add(`{"id":"4","kind":"redrive","plugin":"p","filter":{"when":"bad"},"state":"running","from_seq":1,"to_seq":9,"next_seq":3}`)
	f.Add(`{"id":"18446744073709551615","kind":"replay","plugin":"p","state":"done","to_seq":18446744073709551615}`)
	f.Fuzz(func(t *testing.T, body string) {
		o, err := restore(body)
		if err != nil {
			return
		}
		if p := o.position(); p > o.to && p > o.from {
			t.Errorf("position %d of %d to %d", p, o.from, o.to)
		}
		r := &Runner{cfg: Config{Store: newFakeHost(t, 0), Now: time.Now}}
		if err := r.save(context.Background(), o); err != nil {
			t.Fatal(err)
		}
		stored := r.cfg.Store.(*fakeHost).docs[o.ID].Body
		again, err := restore(stored)
		if err != nil {
			t.Fatalf("%s: %v", stored, err)
		}
		if !json.Valid([]byte(stored)) || again.position() != o.position() || again.State != o.State {
			t.Errorf("got %+v, want %+v", again, o)
		}
	})
}
