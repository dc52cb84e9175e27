package pgstore_test

import (
	"errors"
	"testing"

	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/pgstore"
	"github.com/berth-host/berth/host/spec"
)

// Every way in which a former owner writes is counted when it is refused.
func TestRefusedWritesAreCounted(t *testing.T) {
	s := openWith(t, pgstore.Config{})
	past := spec.Fence{Unit: "h", Epoch: 7}
	ctx := spec.WithFence(t.Context(), past)
	for _, tt := range []struct {
		name  string
		write func() error
	}{
		{"a cursor", func() error { return s.SetCursor(ctx, event.Cursor{Name: "handler/h", Seq: 1}) }},
		{"a key", func() error { return s.KVSet(ctx, "h", "k", []byte("v")) }},
		{"outcomes", func() error {
			_, fenced, err := s.SaveDeliveries(t.Context(), []spec.Fence{past}, nil, nil, []event.Cursor{{Name: "handler/h", Seq: 1}})
			if len(fenced) == 1 {
				err = spec.ErrFenced
			}
			return err
		}},
		{"an event", func() error {
			receipts, err := s.Append(ctx, []*event.Event{logtest.Make(t, event.Draft{})})
			if err == nil {
				err = receipts[0].Err
			}
			return err
		}},
	} {
		before := s.Stats().Refused
		if err := tt.write(); !errors.Is(err, spec.ErrFenced) {
			t.Errorf("%s: got %v", tt.name, err)
		}
		if n := s.Stats().Refused - before; n != 1 {
			t.Errorf("%s: %d refused, want 1", tt.name, n)
		}
	}
}
