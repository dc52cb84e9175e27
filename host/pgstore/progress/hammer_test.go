package progress_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
)

// TestManyWritersOfOneHandler writes outcomes of the same handlers from two hosts at once, while
// others redrive, requeue, replay, read and trim: no outcome is lost or stored twice, no child
// is missing, and no two transactions wait for each other for ever.
func TestManyWritersOfOneHandler(t *testing.T) {
	const events, writers, doomed = 400, 6, 40
	one := open(t, options{})
	two := open(t, options{schema: one.schema})
	hosts := []*engine{one, two}
	ctx := t.Context()
	if _, err := one.Append(ctx, logtest.Numbered(t, "k", events)); err != nil {
		t.Fatal(err)
	}
	handlers := []string{"a", "b", "c"}
	var writing, others sync.WaitGroup
	stop, stopped := context.WithCancel(ctx)
	for w := range writers {
		writing.Go(func() { // event n of each handler is written by one of the writers, n = w modulo writers
			rng := rand.New(rand.NewPCG(1, uint64(w)))
			for from := uint64(doomed + 1); from <= events; from += 30 {
				var successes []event.Successes
				var deliveries []event.Delivery
				for _, h := range handlers {
					of := event.Successes{Handler: h}
					for seq := from; seq < min(from+30, events+1); seq++ {
						if seq%writers != uint64(w) {
							continue
						}
						switch rng.IntN(5) {
						case 0:
							deliveries = append(deliveries, event.Delivery{Handler: h, Seq: seq, Status: event.StatusOK, Attempts: 3, At: at(9)})
						case 1:
							child := logtest.Make(t, event.Draft{Type: "child", IdempotencyKey: fmt.Sprintf("%s/%d", h, seq)})
							deliveries = append(deliveries, event.Delivery{Handler: h, Seq: seq, Status: event.StatusOK, Attempts: 1, At: at(9), FirstAttempt: at(9),
								Children: []*event.Event{child}})
						default:
							of.Append(seq, event.Success{At: at(9)}, []byte(fmt.Sprint(seq)))
						}
					}
					successes = append(successes, of)
				}
				rng.Shuffle(len(successes), func(i, j int) { successes[i], successes[j] = successes[j], successes[i] })
				if _, _, err := hosts[w%2].SaveDeliveries(ctx, nil, successes, deliveries, []event.Cursor{{Name: "handler/a", Seq: doomed}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	repeat := func(do func(n int) error) {
		others.Go(func() {
			for n := 0; stop.Err() == nil; n++ {
				if err := do(n); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	dead := func(h string, n int) event.Delivery {
		return event.Delivery{Handler: h, Seq: uint64(n%doomed + 1), Status: event.StatusDead, Attempts: 1, ErrorClass: event.ClassTrap, At: at(8)}
	}
	repeat(func(n int) error {
		_, _, err := two.SaveDeliveries(ctx, nil, nil, []event.Delivery{dead("c", n), dead("a", n), dead("b", n)}, nil)
		return err
	})
	repeat(func(int) error { _, err := one.Redrive(ctx, event.DeadFilter{}); return err })
	repeat(func(n int) error { _, err := two.Purge(ctx, event.DeadFilter{Handler: handlers[n%3]}); return err })
	repeat(func(n int) error { _, err := one.Requeue(ctx, "a", []uint64{1, uint64(n%doomed + 1)}); return err })
	repeat(func(n int) error { _, err := two.Trim(ctx, uint64(n%doomed+1)); return err })
	repeat(func(int) error { _, err := one.LoadBacklog(ctx, "b"); return err })
	writing.Wait()
	stopped()
	others.Wait()

	children := 0
	for _, h := range handlers {
		have := make(map[uint64]int)
		b, err := one.LoadBacklog(ctx, h)
		if err != nil {
			t.Fatal(err)
		}
		for _, seq := range b.Done {
			have[seq]++
		}
		for seq := uint64(doomed + 1); seq <= events; seq++ {
			if have[seq] != 1 {
				t.Errorf("%s: event %d is %d times among those that are done", h, seq, have[seq])
			}
		}
	}
	err := one.db.Read(ctx, "check", func(ctx context.Context, tx pgx.Tx) error {
		for what, query := range map[string]string{
			"blocks that overlap": `SELECT count(*) FROM outcome_blocks AS a JOIN outcome_blocks AS b ON a.handler = b.handler
				AND a.first_seq < b.first_seq AND b.first_seq <= a.last_seq`,
			"deliveries without their events":    `SELECT count(*) FROM deliveries AS d WHERE NOT EXISTS (SELECT 1 FROM events AS e WHERE e.seq = d.seq)`,
			"attempts without their events":      `SELECT count(*) FROM attempts AS a WHERE NOT EXISTS (SELECT 1 FROM events AS e WHERE e.seq = a.seq)`,
			"events too many or too few in head": `SELECT abs((SELECT count(*) FROM events) - (SELECT events FROM head))`,
		} {
			var n int
			if err := tx.QueryRow(ctx, query).Scan(&n); err != nil {
				return err
			}
			if n != 0 {
				t.Errorf("%s: %d", what, n)
			}
		}
		return tx.QueryRow(ctx, `SELECT count(*) FROM events WHERE type = 'child'`).Scan(&children)
	})
	if err != nil || children == 0 {
		t.Errorf("%d children, %v", children, err)
	}
	if left, err := two.Events(ctx, event.Query{Type: "child", Limit: 1000}); err != nil || len(left) != children {
		t.Errorf("the other host has %d children, %v, want %d", len(left), err, children)
	}
	if _, err := one.Trim(ctx, math.MaxUint64); err != nil {
		t.Error(err)
	}
}
