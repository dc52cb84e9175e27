package logtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
)

// hammer races publishers, some of which give up, with readers that follow the log and
// a trimmer that follows the readers. Every reader sees every acknowledged event, once
// and in order, unless it was trimmed.
func hammer(t *testing.T, l bus.Log) {
	const publishers, each, readers = 8, 40, 3
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var (
		publishing, reading sync.WaitGroup
		mu                  sync.Mutex
		acked               = make(map[uint64]string) // Seq to id
		done                atomic.Bool
		slowest             [readers]atomic.Uint64
	)
	for p := range publishers {
		publishing.Go(func() {
			for i := range each {
				events := []*event.Event{
					Make(t, event.Draft{IdempotencyKey: fmt.Sprintf("%d-%d", p, i)}),
					Make(t, event.Draft{IdempotencyKey: fmt.Sprintf("shared-%d", i)}),
				}
				call, giveUp := context.WithCancel(ctx)
				if i%5 == 0 {
					go giveUp()
				}
				receipts, err := l.Append(call, events)
				giveUp()
				if err != nil {
					if !errors.Is(err, context.Canceled) {
						t.Errorf("Append: %v", err)
					}
					continue
				}
				mu.Lock()
				for _, r := range receipts {
					if before, found := acked[r.Seq]; found && (before != r.EventID || !r.Duplicate) &&
						r.IdempotencyKey != fmt.Sprintf("shared-%d", i) {
						t.Errorf("Seq %d was given to %s and %s", r.Seq, before, r.EventID)
					}
					acked[r.Seq] = r.EventID
				}
				mu.Unlock()
			}
		})
	}
	seen := make([]map[uint64]string, readers)
	for r := range readers {
		seen[r] = make(map[uint64]string)
		reading.Go(func() {
			next := uint64(1)
			for {
				finished := done.Load()
				records, err := l.Read(ctx, next, 1+7*r)
				if err != nil {
					t.Errorf("Read: %v", err)
					return
				}
				for _, rec := range records {
					if rec.Seq < next {
						t.Errorf("Read: Seq %d after %d", rec.Seq, next-1)
					}
					seen[r][rec.Seq] = rec.Event.ID()
					next = rec.Seq + 1
				}
				slowest[r].Store(next)
				if len(records) > 0 {
					continue
				}
				if finished {
					return
				}
				if err := l.Wait(ctx, next-1); err != nil {
					t.Errorf("Wait: %v", err)
					return
				}
			}
		})
	}
	trimmed := make(chan struct{})
	go func() {
		defer close(trimmed)
		for !done.Load() {
			edge := slowest[0].Load()
			for i := range slowest {
				edge = min(edge, slowest[i].Load())
			}
			if _, err := l.Trim(ctx, edge); err != nil {
				t.Errorf("Trim: %v", err)
				return
			}
		}
	}()
	publishing.Wait()
	done.Store(true)
	mustAppend(t, l, Make(t, event.Draft{})) // wakes the readers a last time
	reading.Wait()
	<-trimmed
	for r := range readers {
		for seq, id := range acked {
			if seen[r][seq] != id {
				t.Errorf("reader %d: at Seq %d got %q, want %q", r, seq, seen[r][seq], id)
			}
		}
	}
}
