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

// ledger is a slog.Handler that adds up what is logged.
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

// TestLogFlood has a guest log as much as it can: the operator's disk gets so
// many lines and so many bytes of it, and is told of the rest now and then.
func TestLogFlood(t *testing.T) {
	for _, tt := range []struct {
		name, data string
	}{
		{"wide lines", `{"lines": 300, "bytes": 8192}`},
		{"short lines", `{"lines": 5000, "bytes": 1}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got ledger
			begun := time.Now()
			_, q := start(t, load(t, guest(t, "log_lines")), sandbox.PoolConfig{Logger: slog.New(&got), Limits: spec.Limits{Concurrency: 1, Timeout: patience}})
			for n := range 2 {
				q.push(attempt(t, n+1, tt.data))
				q.await(t)
			}
			seconds := int(time.Since(begun)/time.Second) + 1
			got.mu.Lock()
			defer got.mu.Unlock()
			if most := 400 + seconds*200; got.lines > most {
				t.Errorf("%d lines were logged in %d s, want at most %d", got.lines, seconds, most)
			}
			if most := 512<<10 + seconds*64<<10; got.bytes > most {
				t.Errorf("%d bytes were logged in %d s, want at most %d", got.bytes, seconds, most)
			}
			if got.summaries > seconds {
				t.Errorf("%d times in %d s it was told that lines were dropped", got.summaries, seconds)
			}
			if got.lines < 60 {
				t.Errorf("only %d lines were logged", got.lines)
			}
		})
	}
}
