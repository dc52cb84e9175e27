package sandbox_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/testdata/hostile"
)

// TestFailureBetweenEventsIsLogged: no outcome can report a failure without an open event.
func TestFailureBetweenEventsIsLogged(t *testing.T) {
	for _, tt := range []struct {
		name string
		wasm []byte
		want string
	}{
		{"spins after finish", hostile.Named("spin_after_finish").Wasm, "it ran longer than"},
		{"spins after END", hostile.Named("spin_after_end").Wasm, "it ran longer than"},
		{"asks after END", guest(t, "next_after_end"), "it called next after END"},
		{"well", guest(t, "echo"), ""},
		{"exits after END, as Go does", hostile.Named("exit_0_after_end").Wasm, ""},
		{"exits after END with an error", hostile.Named("exit_1_after_end").Wasm, "it exited with code 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var logged bytes.Buffer // one instance, which has ended when it is read
			m := load(t, tt.wasm)
			q := newQueue()
			p, err := m.NewPool(t.Context(), sandbox.PoolConfig{Source: q, StartTimeout: testTimeout, Limits: spec.Limits{Concurrency: 1, Timeout: hostileTimeout},
				Logger: slog.New(slog.NewTextHandler(&logged, nil))})
			if err != nil {
				t.Fatal(err)
			}
			q.push(attempt(t, 1, `{"status":"well"}`))
			if d := q.await(t); d.outcome.Verdict != event.OK {
				t.Errorf("%q: %s", d.outcome.Class, d.outcome.Message)
			}
			ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
			defer cancel()
			if err := p.Drain(ctx); err != nil {
				t.Fatal(err)
			}
			got := logged.String()
			if text := "instance failed without an event"; tt.want == "" && got != "" || tt.want != "" && !(strings.Contains(got, text) && strings.Contains(got, tt.want)) {
				t.Errorf("the log says %q, want %q", got, tt.want)
			}
		})
	}
}
