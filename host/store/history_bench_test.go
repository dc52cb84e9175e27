package store_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store"
)

// BenchmarkSaveOutcomes stores plain successes of ten handlers, 200 of each in a write,
// and of 300 handlers, one of each in a write: once in blocks and once as a delivery
// each, as versions before the blocks did, both in turns, on the same disk. It reports
// the processor time of the whole process and the pages of the file for each outcome.
func BenchmarkSaveOutcomes(b *testing.B) {
	for _, results := range []string{"empty", "equal", "distinct"} {
		b.Run("10 handlers/"+results, func(b *testing.B) { benchmarkSaveOutcomes(b, results, 10, 200) })
		b.Run("300 handlers/"+results, func(b *testing.B) { benchmarkSaveOutcomes(b, results, 300, 1) })
	}
}

// benchOutcomes returns the successes of so many events after a Seq, for each handler.
func benchOutcomes(results string, handlers int, after, each uint64) (list []event.Successes) {
	began := time.Unix(1_760_000_000, 0)
	for h := range handlers {
		s := event.Successes{Handler: fmt.Sprint("handler-", h), Digest: strings.Repeat("5c", 32)}
		for i := range each {
			seq := after + i + 1
			noise := seq * 0x9e3779b97f4a7c15
			var result []byte
			switch results {
			case "equal":
				result = []byte(`{"ok":true,"notified":["mail","sms"]}`)
			case "distinct":
				result = fmt.Appendf(nil, `{"order_id":"order-%08d","status":"shipped","total_cents":%06d,"checksum":"%016x","ok":true}`, seq, noise%1e6, noise)
			}
			at := began.Add(time.Duration(seq)*70*time.Microsecond + time.Duration(noise%60_000))
			s.Append(seq, event.Success{At: at, Duration: time.Duration(2000 + noise%18_000), Fuel: 900 + noise%2*40}, result)
		}
		list = append(list, s)
	}
	return list
}

func benchmarkSaveOutcomes(b *testing.B, results string, handlers int, each uint64) {
	ctx := b.Context()
	open := func(name string) *store.Store {
		s, err := store.Open(ctx, store.Config{Window: newWindow(), Path: filepath.Join(b.TempDir(), name)})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { s.Close() })
		return s
	}
	blocks, single := open("blocks.db"), open("deliveries.db")
	var used, wall [2]time.Duration
	after := uint64(0)
	for b.Loop() {
		successes := benchOutcomes(results, handlers, after, each)
		var deliveries []event.Delivery
		for i := range successes {
			for j := range successes[i].List {
				d := successes[i].Delivery(j)
				d.FirstAttempt = time.Time{} // then it is stored as a delivery
				deliveries = append(deliveries, d)
			}
		}
		after += each
		for i, save := range []func() error{
			func() error { _, _, err := blocks.SaveDeliveries(ctx, nil, successes, nil, nil); return err },
			func() error { _, _, err := single.SaveDeliveries(ctx, nil, nil, deliveries, nil); return err },
		} {
			cpu, began := processTime(b), time.Now()
			if err := save(); err != nil {
				b.Fatal(err)
			}
			used[i], wall[i] = used[i]+processTime(b)-cpu, wall[i]+time.Since(began)
		}
	}
	n := float64(b.N*handlers) * float64(each)
	for i, of := range []struct {
		name, tables string
		s            *store.Store
	}{{"block", "outcome_blocks%", blocks}, {"delivery", "%deliveries%", single}} {
		var bytes float64
		if err := of.s.Reader().QueryRow(`SELECT sum(pgsize) FROM dbstat WHERE name LIKE ?`, of.tables).Scan(&bytes); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(used[i].Nanoseconds())/n, "cpu-ns/"+of.name)
		b.ReportMetric(n/wall[i].Seconds(), of.name+"/s")
		b.ReportMetric(bytes/n, "bytes/"+of.name)
	}
	b.ReportMetric(0, "ns/op")
}

func processTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
