package plan

import (
	"context"
	"errors"

	"github.com/berth-host/berth/host/event"
)

// blockEvents is how many events one read asks for. Blocks are small, so that a sample is
// spread evenly and large events take little memory.
const blockEvents = 50

// block is a part of the log: count Seqs from one on.
type block struct{ from, count uint64 }

// blocksOf returns blocks of at most limit Seqs together, between first and end, which is not
// included: all, or some that are spread evenly. Every beginning of the list is spread over the
// whole part.
func blocksOf(first, end uint64, limit int) []block {
	if first >= end {
		return nil
	}
	total := end - first
	wanted := min(total, uint64(limit))
	n := (wanted + blockEvents - 1) / blockEvents
	list := make([]block, n)
	step := stride(n)
	for i := range n {
		at := i * step % n
		before := at * blockEvents // in the blocks before this one
		gaps := (total - wanted) * at / n
		list[i] = block{first + before + gaps, min(blockEvents, wanted-before)}
	}
	return list
}

// stride returns a number near 0.618 n that has no common divisor with n: its multiples visit
// every number below n once, and evenly.
func stride(n uint64) uint64 {
	step := max(1, n*618/1000)
	for divisor(step, n) != 1 {
		step++
	}
	return step
}

func divisor(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// examine reads the blocks until the context ends or the time is over. Parts that cannot be
// read are counted and skipped.
func (p *planner) examine(ctx context.Context, blocks []block) error {
	for _, b := range blocks {
		for from, end := b.from, b.from+b.count; from < end; {
			if err := ctx.Err(); err != nil {
				return err
			}
			select {
			case <-p.cfg.Expired:
				p.plan.Limit = "time"
				return nil
			default:
			}
			next, err := p.read(ctx, from, end)
			if err != nil {
				return err
			}
			p.plan.Examined += next - from
			from = next
		}
	}
	return nil
}

// read examines events from one Seq on, and returns the Seq after the last one; end when there
// are no more before it.
func (p *planner) read(ctx context.Context, from, end uint64) (next uint64, err error) {
	records, err := p.cfg.Log.Read(ctx, from, int(end-from))
	var damaged *event.Unreadable
	if errors.As(err, &damaged) {
		next = min(end, max(damaged.To, from)+1)
		p.plan.Unreadable += next - from
		return next, nil
	}
	if err != nil {
		return 0, err
	}
	next = end
	if len(records) > 0 {
		next = min(end, records[len(records)-1].Seq+1)
	}
	for _, rec := range records {
		if rec.Seq >= end {
			return end, nil
		}
		p.note(rec)
	}
	return next, nil
}
