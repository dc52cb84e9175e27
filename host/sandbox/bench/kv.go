package main

import "context"

// keyValues measures a handler that reads and writes one key of its state for each event.
func (b *bench) keyValues(ctx context.Context) error {
	got, err := benchmark(ctx, "./host", "^Benchmark(KV|OneKey)$", "3x")
	if err != nil {
		return err
	}
	b.lowerBound("kv: events with one get and one compare-and-swap, 32 instances, SQLite", got["events/s BenchmarkKV"], 10_000, "/s")
	b.lowerBound("kv: the same with one key for all instances", got["events/s BenchmarkOneKey"], 10_000, "/s")
	return nil
}
