package sandbox_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/spec"
)

// ledger is a slog.Handler that counts lines and bytes.
type ledger struct {
	mu           sync.Mutex
	bytes, lines int // of guests
	summaries    int // of lines that were dropped
}

func (*ledger) Enabled(context.Context, slog.Level) bool { return true }
func (l *ledger) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l *ledger) WithGroup(string) slog.Handler          { return l }

func (l *ledger) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.Contains(r.Message, "dropped") {
		l.summaries++
		return nil
	}
	l.lines++
	l.bytes += len(r.Message)
	return nil
}

// TestLogFloodIsLimited: of a guest that logs as much as it can, the quota of lines and
// bytes is logged, and the number of dropped lines now and then.
func TestLogFloodIsLimited(t *testing.T) {
	for _, tt := range []struct {
		name, data string
	}{
		{"wide lines", `{"lines": 300, "bytes": 8192}`},
		{"short lines", `{"lines": 5000, "bytes": 1}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got ledger
			begun := time.Now()
			_, q := start(t, load(t, guest(t, "log_lines")), sandbox.PoolConfig{Logger: slog.New(&got), Limits: spec.Limits{Concurrency: 1, Timeout: testTimeout}})
			for n := range 2 {
				q.push(attempt(t, n+1, tt.data))
				q.await(t)
			}
			seconds := int(time.Since(begun)/time.Second) + 1
			got.mu.Lock()
			defer got.mu.Unlock()
			if limit := 400 + seconds*200; got.lines > limit {
				t.Errorf("%d lines were logged in %d s, want at most %d", got.lines, seconds, limit)
			}
			if limit := 512<<10 + seconds*64<<10; got.bytes > limit {
				t.Errorf("%d bytes were logged in %d s, want at most %d", got.bytes, seconds, limit)
			}
			if got.summaries > seconds {
				t.Errorf("dropped lines were reported %d times in %d s", got.summaries, seconds)
			}
			if got.lines < 60 {
				t.Errorf("only %d lines were logged", got.lines)
			}
		})
	}
}
