package guestlog

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func newLogs() *Logs { return New(func() time.Time { return noon }) }

// shown is a log as text: its lines, and then next, last, discarded and evicted.
func shown(log wire.PluginLog) string {
	var b strings.Builder
	for _, line := range log.Items {
		fmt.Fprintf(&b, "%d %s %s %s/%d", line.Seq, line.Level, line.Message, line.EventID, line.Attempt)
		if line.Discarded > 0 {
			fmt.Fprintf(&b, " after %d", line.Discarded)
		}
		b.WriteString("; ")
	}
	next := "-"
	if log.Next != nil {
		next = *log.Next
	}
	fmt.Fprintf(&b, "%s %d %d %d", next, log.Last, log.Discarded, log.Evicted)
	return b.String()
}

func TestLog(t *testing.T) {
	l := newLogs()
	a, b := l.Of("a"), l.Of("b")
	a.Write(sandbox.LogLine{Level: slog.LevelDebug, Text: "one"})
	b.Write(sandbox.LogLine{Level: slog.LevelInfo, Text: "other"})
	a.Write(sandbox.LogLine{Level: slog.LevelInfo, Text: "two", EventID: "e1", Attempt: 1})
	a.Discarded()
	a.Discarded()
	a.Write(sandbox.LogLine{Level: slog.LevelWarn, Text: "three", EventID: "e2", Attempt: 2})
	a.Write(sandbox.LogLine{Level: slog.LevelError, Text: "four", EventID: "e1", Attempt: 2})
	a.Discarded()
	for _, tt := range []struct {
		name  string
		query spec.LogQuery
		want  string
	}{
		{"all", spec.LogQuery{Limit: 10, Latest: true}, "1 debug one /0; 3 info two e1/1; 4 warn three e2/2 after 2; 5 error four e1/2; - 5 3 0"},
		{"the latest", spec.LogQuery{Limit: 2, Latest: true}, "4 warn three e2/2 after 2; 5 error four e1/2; - 5 3 0"},
		{"from the start", spec.LogQuery{Limit: 2}, "1 debug one /0; 3 info two e1/1; 3 5 3 0"},
		{"after", spec.LogQuery{Limit: 2, After: 3}, "4 warn three e2/2 after 2; 5 error four e1/2; - 5 3 0"},
		{"after the end", spec.LogQuery{Limit: 2, After: 5}, "- 5 3 0"},
		{"of another run", spec.LogQuery{Limit: 1, After: 99}, "1 debug one /0; 1 5 3 0"},
		{"of an event", spec.LogQuery{Limit: 10, Latest: true, EventID: "e1"}, "3 info two e1/1; 5 error four e1/2; - 5 3 0"},
		{"of no event", spec.LogQuery{Limit: 10, Latest: true, EventID: "e"}, "- 5 3 0"},
	} {
		if got := shown(l.Log("a", tt.query)); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
	if got := shown(l.Log("c", spec.LogQuery{Limit: 1})); got != "- 5 0 0" {
		t.Errorf("an unknown plugin has %s", got)
	}
	if got := l.Log("a", spec.LogQuery{Limit: 1}); !got.Items[0].At.Equal(noon) || got.Plugin != "a" {
		t.Errorf("got %+v", got)
	}
}

// The lines of a plugin have a bound, and go oldest first.
func TestLinesAreEvicted(t *testing.T) {
	l := newLogs()
	g := l.Of("a")
	const n = 5000
	for i := range n {
		g.Write(sandbox.LogLine{Text: fmt.Sprint(i) + strings.Repeat("x", i%700)})
	}
	log := l.Log("a", spec.LogQuery{Limit: n})
	size := 0
	for i, line := range log.Items {
		size += sizeOf(line)
		if line.Seq != uint64(n-len(log.Items)+i+1) {
			t.Fatalf("line %d has the Seq %d", i, line.Seq)
		}
	}
	if size > maxBytes || size < maxBytes-2000 || int(log.Evicted)+len(log.Items) != n {
		t.Errorf("%d lines of %d bytes are there, %d evicted", len(log.Items), size, log.Evicted)
	}
	g.Write(sandbox.LogLine{Text: strings.Repeat("y", 2*maxBytes)})
	if log := l.Log("a", spec.LogQuery{Limit: n}); len(log.Items) != 1 {
		t.Errorf("%d lines are beside a large one", len(log.Items))
	}
}

// The number of plugins has a bound, and lines do not keep larger texts in memory.
func TestMemoryIsBounded(t *testing.T) {
	l := newLogs()
	for i := range maxPlugins + 10 {
		l.Of(fmt.Sprint(i)).Write(sandbox.LogLine{Text: "x"})
		l.Of("0").Discarded()
	}
	if len(l.plugins) != maxPlugins {
		t.Errorf("%d plugins have logs", len(l.plugins))
	}
	if len(l.Log("0", spec.LogQuery{Limit: 1}).Items) != 1 || len(l.Log("1", spec.LogQuery{Limit: 1}).Items) != 0 {
		t.Error("the plugin with the oldest line is not the one that went")
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 64 {
		large := strings.Repeat("x", 1<<20)
		l.Of("0").Write(sandbox.LogLine{Text: large[:10], EventID: large[20:40]})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("64 short lines keep %d bytes", grown)
	}
}

func TestHammer(t *testing.T) {
	l := newLogs()
	var wg sync.WaitGroup
	for i := range 4 {
		g := l.Of(fmt.Sprint(i % 2))
		wg.Go(func() {
			for range 2000 {
				g.Write(sandbox.LogLine{Text: "text"})
				g.Discarded()
			}
		})
		wg.Go(func() {
			for after := uint64(0); after < 2000; {
				log := l.Log(fmt.Sprint(i%2), spec.LogQuery{Limit: 100, After: after})
				for _, line := range log.Items {
					if line.Seq <= after {
						t.Errorf("%d comes after %d", line.Seq, after)
					}
					after = line.Seq
				}
			}
		})
	}
	wg.Wait()
	if log := l.Log("0", spec.LogQuery{Limit: 1}); log.Discarded != 4000 || log.Last != 8000 {
		t.Errorf("got %+v", log)
	}
}
