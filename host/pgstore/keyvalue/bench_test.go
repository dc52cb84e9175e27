package keyvalue_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/pgstore/keyvalue"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/spec"
)

// BenchmarkWrites measures the direct writes of so many instances of one plugin, under a fence,
// beside a transaction for each that does the same statements, and the reads.
func BenchmarkWrites(b *testing.B) {
	db, err := conn.Open(b.Context(), conn.Config{URL: pgtest.URL(b), Schema: "bench", Migrations: []string{conn.Units + keyvalue.Schema}})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	s := keyvalue.New(keyvalue.Config{DB: db})
	defer s.Close()
	ctx := spec.WithFence(b.Context(), spec.Fence{Unit: "p", Epoch: 1})
	if err := db.Write(b.Context(), "own", func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO units (name, epoch) VALUES ('p', 1) ON CONFLICT DO NOTHING`)
		return err
	}); err != nil {
		b.Fatal(err)
	}
	value := make([]byte, 200)
	alone := func(key string) error {
		return db.Write(ctx, "set", func(ctx context.Context, tx pgx.Tx) error {
			var q pgx.Batch
			q.Queue(`SELECT bytes FROM kv_usage WHERE plugin = 'p' FOR UPDATE`)
			q.Queue(`SELECT until, octet_length(value) FROM kv WHERE plugin = 'p' AND key = $1`, []byte(key))
			if err := tx.SendBatch(ctx, &q).Close(); err != nil {
				return err
			}
			var w pgx.Batch
			w.Queue(`INSERT INTO kv (plugin, key, value) VALUES ('p', $1, $2) ON CONFLICT (plugin, key) DO UPDATE SET value = excluded.value`,
				[]byte(key), value)
			w.Queue(`UPDATE kv_usage SET bytes = bytes WHERE plugin = 'p'`)
			return tx.SendBatch(ctx, &w).Close()
		})
	}
	for _, instances := range []int{1, 32} {
		for _, c := range []struct {
			name string
			call func(key string) error
		}{
			{"grouped", func(key string) error { return s.KVSet(ctx, "p", key, value) }},
			{"alone", alone},
			{"get", func(key string) error { _, _, err := s.KVGet(ctx, "p", key); return err }},
		} {
			b.Run(fmt.Sprintf("%s/instances=%d", c.name, instances), func(b *testing.B) {
				var n atomic.Int64
				var wg sync.WaitGroup
				for i := range instances {
					wg.Go(func() {
						for n.Add(1) <= int64(b.N) {
							if err := c.call(fmt.Sprint("key-", i, "-", n.Load()%50)); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
			})
		}
	}
}
