package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store"
)

// million is the number of events of the benchmarks of a long log.
const million = 1_000_000

// millionPath returns the path of a file with a million events: the one of
// BERTH_BENCH_FILE, which it creates and keeps for the next run, or one in a directory
// of the benchmark.
func millionPath(b *testing.B) string {
	b.Helper()
	path := os.Getenv("BERTH_BENCH_FILE")
	if path == "" {
		path = filepath.Join(b.TempDir(), "million.db")
	}
	s, err := store.Open(b.Context(), store.Config{Window: newWindow(), Path: path})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const batch = 500
	for s.Last() < million {
		if _, err := s.Append(b.Context(), makeEvents(b, batch)); err != nil {
			b.Fatal(err)
		}
	}
	return path
}

// BenchmarkRestart opens a file with a million events and reads the first page.
func BenchmarkRestart(b *testing.B) {
	path := millionPath(b)
	var opening, reading time.Duration
	for b.Loop() {
		start := time.Now()
		s, err := store.Open(b.Context(), store.Config{Window: newWindow(), Path: path})
		if err != nil {
			b.Fatal(err)
		}
		opened := time.Now()
		records, err := s.Read(b.Context(), 1, 256)
		if err != nil || len(records) != 256 {
			b.Fatal(len(records), err)
		}
		opening, reading = opening+opened.Sub(start), reading+time.Since(opened)
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(opening.Microseconds())/1000/float64(b.N), "ms-open")
	b.ReportMetric(float64(reading.Microseconds())/1000/float64(b.N), "ms-first-read")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkReaderFarBehind publishes with a reader at the end of the log, alternately
// with and without another one that is a million events behind.
func BenchmarkReaderFarBehind(b *testing.B) {
	window := newWindow()
	s, err := store.Open(b.Context(), store.Config{Window: window, Path: millionPath(b)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	hub, err := bus.New(bus.Config{Log: s, Window: window})
	if err != nil {
		b.Fatal(err)
	}
	defer hub.Close()
	// publish sends n events one after the other and waits for each at the end.
	publish := func(n int) time.Duration {
		tail := hub.Subscribe(hub.Last() + 1)
		defer tail.Close()
		events := makeEvents(b, n)
		buf := make([]event.Record, 1)
		start := time.Now()
		for i := range events {
			if _, err := hub.PublishEvents(b.Context(), events[i:i+1]); err != nil {
				b.Fatal(err)
			}
			if _, err := tail.Next(b.Context(), buf); err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(start)
	}
	const each = 300
	var alone, beside, behindTime time.Duration
	read := 0
	for b.Loop() {
		for range 4 {
			alone += publish(each)
			ctx, stop := context.WithCancel(b.Context())
			done := make(chan error, 1)
			go func() {
				far := hub.Subscribe(1)
				defer far.Close()
				start := time.Now()
				buf := make([]event.Record, 256)
				for {
					n, err := far.Next(ctx, buf)
					if err != nil {
						behindTime += time.Since(start)
						if ctx.Err() != nil {
							err = nil
						}
						done <- err
						return
					}
					if read += n; buf[n-1].Seq >= million {
						far.Close()
						far = hub.Subscribe(1)
					}
				}
			}()
			beside += publish(each)
			stop()
			if err := <-done; err != nil {
				b.Fatal(fmt.Errorf("the reader behind: %w", err))
			}
		}
	}
	n := float64(b.N * 4 * each)
	b.ReportMetric(float64(alone.Microseconds())/n, "µs/event-alone")
	b.ReportMetric(float64(beside.Microseconds())/n, "µs/event-beside")
	b.ReportMetric(float64(read)/behindTime.Seconds(), "read-behind/s")
	b.ReportMetric(beside.Seconds()/alone.Seconds(), "x")
	b.ReportMetric(0, "ns/op")
}
