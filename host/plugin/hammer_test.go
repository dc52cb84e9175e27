package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Everything at once: files replaced in every way, removed and renamed,
// plugins enabled and disabled, settings changed, loads that take their time.
// One plugin always has a file, now and then a broken one: it never stops.
func TestHammer(t *testing.T) {
	const rounds = 150
	w := newWorld(t)
	w.config.Debounce, w.config.Quiet, w.config.Rescan = time.Millisecond, 5*time.Millisecond, 20*time.Millisecond
	w.config.SetEnabled = func(_ context.Context, name string, enabled bool) error {
		w.settings.set(name, spec.Settings{Enabled: enabled})
		return nil
	}
	w.fakes.load = func(ctx context.Context, _, text string) error {
		if len(text)%3 != 0 {
			return nil
		}
		return w.moment(ctx)
	}
	w.fakes.drain = func(ctx context.Context, _ string) error { return w.moment(ctx) }
	w.write("steady.wasm", versioned("steady", "0.0.0"))
	w.run()
	w.waitFor("steady", wire.Active, "0.0.0", "")
	w.mu.Lock()
	w.steady = "steady"
	w.mu.Unlock()

	var group sync.WaitGroup
	hammer := func(what func(r *rand.Rand, i int)) {
		group.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(rounds)))
			for i := range rounds {
				what(r, i)
				_ = w.moment(context.Background())
			}
		})
	}
	hammer(func(r *rand.Rand, i int) {
		next := versioned("steady", fmt.Sprintf("1.%d.0", i))
		switch r.IntN(5) {
		case 0:
			w.write("steady.wasm", next)
		case 1:
			w.write("steady.wasm", next[:len(next)/2])
		case 2:
			w.replace("steady.wasm", module(`{"name":"steady"}`, "bad: it forks"))
		default:
			w.replace("steady.wasm", next)
		}
	})
	hammer(func(r *rand.Rand, i int) {
		name := fmt.Sprintf("churn-%d.wasm", r.IntN(3))
		contents := versioned("churn", fmt.Sprintf("1.%d.0", i))
		switch r.IntN(6) {
		case 0, 1:
			if err := os.Remove(w.path(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Error(err)
			}
		case 2:
			if err := os.Rename(w.path(name), w.path("churn-0.wasm")); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Error(err)
			}
		case 3:
			w.write(name, contents)
		default:
			w.replace(name, contents)
		}
	})
	hammer(func(r *rand.Rand, _ int) {
		ctx, cancel := context.WithTimeout(w.bound(), time.Duration(r.IntN(20))*time.Millisecond)
		defer cancel()
		_, err := w.m.SetEnabled(ctx, "churn", r.IntN(2) == 0)
		if err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Timeout) {
			t.Error(err)
		}
	})
	hammer(func(r *rand.Rand, i int) {
		w.settings.set("steady", spec.Settings{Enabled: true, Limits: spec.Limits{Concurrency: r.IntN(2), Memory: int64(r.IntN(2)) << 20}})
		w.reload(w.dir)
		w.m.List()
	})
	group.Wait()

	for i := range 3 {
		if err := os.Remove(w.path(fmt.Sprintf("churn-%d.wasm", i))); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	}
	w.replace("churn.wasm", versioned("churn", "2.0.0"))
	w.replace("steady.wasm", versioned("steady", "2.0.0"))
	w.until("churn to be there", func() bool {
		_, err := w.m.SetEnabled(w.bound(), "churn", true)
		return err == nil
	})
	w.waitFor("steady", wire.Active, "2.0.0", "")
	w.waitFor("churn", wire.Active, "2.0.0", "")
	w.only("steady", "2.0.0")
	w.only("churn", "2.0.0")
	w.until("only their modules to be open", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.open) == 2
	})
}

// moment waits for something to happen, but not for long.
func (w *world) moment(ctx context.Context) error {
	w.mu.Lock()
	changed := w.changed
	w.mu.Unlock()
	timer := time.NewTimer(5 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}
