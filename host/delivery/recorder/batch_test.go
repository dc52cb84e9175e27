package recorder

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// both is a Handler with outcomes in both forms.
type both struct{ list event.Successes }

func (h *both) Collect(b *Batch, _ bool) {
	b.Successes = append(b.Successes, h.list, event.Successes{Handler: "other", List: []event.SuccessAt{{Seq: 2}}})
	b.Deliveries = append(b.Deliveries, event.Delivery{Handler: "h", Seq: 3}, event.Delivery{Handler: "third", Seq: 2})
}

func (h *both) Written(event.Saved, []spec.Fence) {}

// TestViewShowsBothForms: the batch that is being written shows every outcome of an event
// and of a handler, and the store gets it as it was collected.
func TestViewShowsBothForms(t *testing.T) {
	h := &both{list: event.Successes{Handler: "h"}}
	h.list.Append(2, event.Success{At: time.Unix(1, 0)}, []byte("2"))
	h.list.Append(1, event.Success{At: time.Unix(2, 0)}, []byte("1"))
	var r *Recorder
	looked := false
	look := func(b *Batch) {
		looked = true
		var of []string
		for d := range b.Of(2) {
			of = append(of, d.Handler+d.Result)
		}
		for range b.Of(2) {
			break
		}
		if want := []string{"h2", "other", "third"}; !slices.Equal(of, want) {
			t.Errorf("event 2 has %q, want %q", of, want)
		}
		for handler, want := range map[string][]uint64{"h": {2, 1, 3}, "other": {2}, "third": {2}, "none": nil} {
			if got := slices.Collect(b.Seqs(handler)); !slices.Equal(got, want) {
				t.Errorf("%s has %d, want %d", handler, got, want)
			}
			for range b.Seqs(handler) {
				break
			}
		}
		if b.outcomes() != 5 {
			t.Errorf("%d outcomes, want 5", b.outcomes())
		}
	}
	ready := make(chan struct{})
	r = New(Config{Logger: slog.New(slog.DiscardHandler), Handlers: func() []Handler { return []Handler{h} }, Refused: func(context.Context, event.Delivery) {},
		Save: func(_ context.Context, _ []spec.Fence, s []event.Successes, d []event.Delivery, _ []event.Cursor) (event.Saved, []spec.Fence, error) {
			<-ready
			if len(s) != 2 || len(s[0].List) != 2 || string(s[0].Result(1)) != "1" || len(d) != 2 {
				t.Errorf("saved %+v and %+v", s, d)
			}
			r.View(look)
			return event.Saved{}, nil, nil
		}})
	close(ready) // r is set
	if err := r.Flush(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if !looked {
		t.Error("nothing was written")
	}
	r.View(func(b *Batch) {
		if b.outcomes() != 0 {
			t.Errorf("%d outcomes after the write", b.outcomes())
		}
	})
}
