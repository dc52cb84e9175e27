package store_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/store"
)

// BenchmarkSaveFailures stores failed deliveries of one handler, 200 in a write, each event
// for the first time: once without their attempts, once with them, and once with eight log
// lines each, in turns, on the same disk. It reports the processor time of the whole process
// and the bytes of the file for each.
func BenchmarkSaveFailures(b *testing.B) {
	const each = 200
	ctx := b.Context()
	variants := []struct {
		name     string
		attempts int // 0: no attempt was made, so none is kept
		lines    int
		s        *store.Store
		cpu      time.Duration
		wall     time.Duration
	}{{name: "delivery"}, {name: "attempt", attempts: 1}, {name: "logged", attempts: 1, lines: 8}}
	for i := range variants {
		s, err := store.Open(ctx, store.Config{Window: newWindow(), Path: filepath.Join(b.TempDir(), "berth.db")})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { s.Close() })
		variants[i].s = s
	}
	began := time.Unix(1_760_000_000, 0)
	after := uint64(0)
	for b.Loop() {
		for i := range variants {
			v := &variants[i]
			var list []event.Delivery
			for n := range uint64(each) {
				seq := after + n + 1
				at := began.Add(time.Duration(seq) * 50 * time.Microsecond)
				d := event.Delivery{Handler: "handler", Seq: seq, Status: event.StatusRetrying, Attempts: v.attempts, ErrorClass: event.ClassTrap,
					ErrorMessage: fmt.Sprintf("unreachable (order %d)\n%s", seq, strings.Repeat("  at total (main.go:17)\n", 6)),
					Duration:     time.Duration(2000 + seq%999), Fuel: 900 + seq, At: at, Due: at.Add(time.Second), FirstAttempt: at.Add(-time.Second),
					SHA256: strings.Repeat("5c", 32), Instance: 3}
				for range v.lines {
					d.Logs = append(d.Logs, spec.GuestLine{At: at, Level: "info", Message: "the order has no items, so its total is not known"})
				}
				list = append(list, d)
			}
			cpu, start := processTime(b), time.Now()
			if _, _, err := v.s.SaveDeliveries(ctx, nil, nil, list, nil); err != nil {
				b.Fatal(err)
			}
			v.cpu, v.wall = v.cpu+processTime(b)-cpu, v.wall+time.Since(start)
		}
		after += each
	}
	n := float64(b.N) * each
	for _, v := range variants {
		var bytes float64
		if err := v.s.Reader().QueryRow(`SELECT sum(pgsize) FROM dbstat WHERE name LIKE 'attempts%' OR name LIKE '%deliveries%'`).Scan(&bytes); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(v.cpu.Nanoseconds())/n, "cpu-ns/"+v.name)
		b.ReportMetric(n/v.wall.Seconds(), v.name+"/s")
		b.ReportMetric(bytes/n, "bytes/"+v.name)
	}
	b.ReportMetric(0, "ns/op")
}
