package host_test

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/store"
)

// benchKV is the state of one plugin in an engine.
type benchKV struct{ engine bus.State }

func (k benchKV) Get(ctx context.Context, key string) ([]byte, bool, error) {
	return k.engine.KVGet(ctx, "h0", key)
}
func (k benchKV) Cached(key string) (value []byte, found, ok bool) {
	return k.engine.KVCached("h0", key)
}
func (k benchKV) Newest(key string) (value []byte, found, ok bool, stored func(context.Context) error) {
	return k.engine.KVNewest("h0", key)
}
func (k benchKV) Set(ctx context.Context, key string, value []byte) error {
	return k.engine.KVSet(ctx, "h0", key, value)
}
func (k benchKV) CompareAndSet(ctx context.Context, key string, old, value []byte) error {
	return k.engine.KVCAS(ctx, "h0", key, old, value)
}
func (k benchKV) Delete(ctx context.Context, key string) error {
	return k.engine.KVDelete(ctx, "h0", key)
}
func (k benchKV) List(context.Context, string, string, int) ([]string, error) { return nil, nil }
func (k benchKV) Expire(context.Context, string, time.Time) error             { return nil }
func (k benchKV) Usage(context.Context) (used, quota int64, err error)        { return 0, 0, nil }

// BenchmarkKV measures a handler with 32 instances on the SQLite engine whose guest reads
// one key and writes it by compare and swap for each event: stored events, outcomes and
// cursors included, publishing not. The keys of events that follow each other differ.
func BenchmarkKV(b *testing.B) { benchmarkKV(b, "ledger") }

// BenchmarkOneKey is BenchmarkKV with one key for all events: the guest tries again when
// another instance was faster.
func BenchmarkOneKey(b *testing.B) { benchmarkKV(b, "kv_counter") }

func benchmarkKV(b *testing.B, guest string) {
	wasm := benchGuest(b, guest)
	const events, subjects, instances = 20_000, 2000, 32
	var rates, costs, shared []float64
	for b.Loop() {
		window := benchWindow()
		s, err := store.Open(b.Context(), store.Config{Path: filepath.Join(b.TempDir(), "berth.db"), Window: window})
		if err != nil {
			b.Fatal(err)
		}
		log := newBenchLog(b, s, window)
		list := make([]*event.Event, events)
		for i := range list {
			if list[i], err = event.New(event.Draft{Type: "t", Subject: fmt.Sprint("s-", i%subjects), Data: []byte(benchOrder)}); err != nil {
				b.Fatal(err)
			}
		}
		claim(b, log, 1)
		log.publish(b, list)
		runtime.GC()
		written := commits(b, s)
		before, start := cpu(b), time.Now()
		f := newFleetOf(b, log, wasm, 1, sandbox.PoolConfig{Limits: spec.Limits{Concurrency: instances},
			Capabilities: sandbox.Capabilities{KV: benchKV{s}}})
		f.await(b, events)
		rates = append(rates, events/time.Since(start).Seconds())
		costs = append(costs, float64(cpu(b)-before)/events)
		f.stop()
		shared = append(shared, events/float64(commits(b, s)-written))
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(middle(rates), "events/s")
	b.ReportMetric(middle(costs), "cpu-ns/event")
	b.ReportMetric(middle(shared), "events/commit")
}

// commits returns the number of writes that a store has committed.
func commits(b *testing.B, s *store.Store) (n int) {
	if err := s.Reader().QueryRow(`SELECT writes FROM log_size`).Scan(&n); err != nil {
		b.Fatal(err)
	}
	return n
}
