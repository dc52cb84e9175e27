package delivery_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
)

// TestOperationsFailWhileOutcomesCannotBeWritten: operations that wait for the outcomes to be
// written return the reason, for example on a disk that stays full.
func TestOperationsFailWhileOutcomesCannotBeWritten(t *testing.T) {
	m := onMemory(t)
	full, refused := false, 0
	set := func(now bool) {
		m.engine.mu.Lock()
		defer m.engine.mu.Unlock()
		full = now
	}
	m.engine.fate = func() (before, after bool) {
		if full {
			refused++
		}
		return full, false
	}
	m.set(reject)
	_, stop := m.open("h", delivery.Policy{})
	defer stop()
	set(true)
	m.publish("a")
	// The attempt alone is not enough: its outcome comes a moment later, and nothing waits for it until then.
	m.await("a refused write", func() bool {
		m.engine.mu.Lock()
		defer m.engine.mu.Unlock()
		return refused > 0
	})
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	_, redrive := m.d.Redrive(ctx, event.DeadFilter{Handler: "h"})
	_, purge := m.d.Purge(ctx, event.DeadFilter{Handler: "h"})
	for what, err := range map[string]error{"redrive": redrive, "purge": purge, "replay": m.d.Replay(ctx, "h", 1, 0)} {
		if err == nil || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "not written") {
			t.Errorf("%s: got %v, want why outcomes are not written", what, err)
		}
	}
	set(false)
	m.set(func(string, event.Attempt) event.Outcome { return event.Outcome{} })
	m.await("it is written and redriven", func() bool {
		n, err := m.d.Redrive(ctx, event.DeadFilter{Handler: "h"})
		return n == 1 && err == nil
	})
	m.awaitStatuses("h", "ok")
}
