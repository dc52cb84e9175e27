package host_test

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store"
)

// BenchmarkFailures has one handler reject 20,000 events of a backlog, each with a message
// of 200 bytes, until every outcome is stored. It reports the events and the processor time
// of the whole process for each; no guest runs.
func BenchmarkFailures(b *testing.B) {
	const n = 20_000
	var cpu, wall time.Duration
	for i := range b.N {
		window := benchWindow()
		s, err := store.Open(b.Context(), store.Config{Window: window, Path: filepath.Join(b.TempDir(), fmt.Sprint(i, ".db"))})
		if err != nil {
			b.Fatal(err)
		}
		log := newBenchLog(b, s, window)
		claim(b, log, 1)
		log.publish(b, benchEvents(b, n))
		used, began := processorTime(b), time.Now()
		d := delivery.New(delivery.Config{Store: s, Log: log})
		h, err := d.Open(b.Context(), "h0", "", benchPolicy)
		if err != nil {
			b.Fatal(err)
		}
		out := event.Outcome{Verdict: event.Reject, Class: event.ClassRejected, Message: fmt.Sprintf("%-200s", "no such customer"), Duration: time.Microsecond}
		for done := 0; done < n; {
			a, ok := h.TryNext()
			if !ok {
				select {
				case <-h.Demand():
				case <-time.After(time.Millisecond):
				}
				continue
			}
			h.Done(a, out)
			done++
		}
		if err := d.Close(b.Context()); err != nil { // writes the outcomes
			b.Fatal(err)
		}
		cpu, wall = cpu+processorTime(b)-used, wall+time.Since(began)
		if counts, err := s.DeadCounts(b.Context()); err != nil || counts["h0"] != n {
			b.Fatal(counts, err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N*n), "cpu-ns/event")
	b.ReportMetric(float64(b.N*n)/wall.Seconds(), "events/s")
	b.ReportMetric(0, "ns/op")
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
