package sandbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox"
)

// TestAttachedPoolReadsEvents: a pool without a source starts its first instance,
// which reads events once the source is attached.
func TestAttachedPoolReadsEvents(t *testing.T) {
	for _, name := range []string{"echo", "stdio"} {
		t.Run(name, func(t *testing.T) {
			p := startUnattached(t, name)
			if n := p.Instances(); n != 1 {
				t.Errorf("%d instances before it is attached", n)
			}
			q := newQueue()
			q.push(attempt(t, 1, `{"status":"a"}`), attempt(t, 2, `{"status":"b"}`))
			p.Attach(q)
			for range 2 {
				if d := q.await(t); d.outcome.Verdict != event.OK {
					t.Errorf("%+v", d)
				}
			}
		})
	}
}

// TestUnattachedPoolDrains: a pool that never gets a source ends.
func TestUnattachedPoolDrains(t *testing.T) {
	for _, guest := range []string{"echo", "stdio"} {
		if n := startUnattached(t, guest).Instances(); n != 1 {
			t.Errorf("%s: %d instances", guest, n)
		}
	}
}

func startUnattached(t *testing.T, name string) *sandbox.Pool {
	t.Helper()
	p, err := load(t, guest(t, name)).NewPool(t.Context(), sandbox.PoolConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := p.Drain(ctx); err != nil {
			t.Error(err)
		}
	})
	return p
}
