package outcomes

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/event/pack"
)

// queueBlocks adds statements to a batch that store plain successes in blocks, and returns
// those that become rows.
func (w *Write) queueBlocks(ctx context.Context, b *pgx.Batch, successes *pack.Runs) (singles []event.Delivery, err error) {
	single := func(handler string, o *pack.Outcome) {
		if w.Exists(o.Seq) {
			singles = append(singles, o.Delivery(handler))
		}
	}
	parts := make(map[string][]pack.Outcome)
	var needed []*frame
	for _, r := range successes.All() {
		list := r.Outcomes()
		for len(list) > 0 && list[0].Seq <= w.trimmed {
			single(r.Handler, &list[0])
			list = list[1:]
		}
		large := func(o pack.Outcome) bool { return len(o.Result) > pack.MaxResults }
		if slices.ContainsFunc(list, large) {
			list = slices.DeleteFunc(slices.Clone(list), func(o pack.Outcome) bool {
				if large(o) {
					single(r.Handler, &o)
				}
				return large(o)
			})
		}
		if parts[r.Handler] = list; len(list) == 0 {
			continue
		}
		for i := range w.blocks[r.Handler] {
			if f := &w.blocks[r.Handler][i]; f.content == nil && inside(f, list) {
				needed = append(needed, f)
			}
		}
	}
	if err := w.read(ctx, needed); err != nil {
		return nil, err
	}
	var plans []plan
	var replaced, removed keys
	for _, r := range successes.All() {
		list := parts[r.Handler]
		if len(list) == 0 {
			continue
		}
		to := w.planner.plan(r.Handler, w.blocks[r.Handler], list)
		plans = append(plans, to)
		for _, first := range to.remove {
			removed.add(r.Handler, first)
		}
		for i := range to.refused {
			single(r.Handler, &to.refused[i])
		}
		if w.among[r.Handler] {
			for i := range list {
				replaced.add(r.Handler, seqOf(list[i].Seq))
			}
		}
	}
	if len(removed.handlers) > 0 {
		b.Queue(removeBlocks, removed.handlers, removed.seqs)
	}
	if len(replaced.handlers) > 0 {
		b.Queue(`DELETE FROM deliveries AS d USING unnest($1::text[], $2::bigint[]) AS u (handler, seq)
			WHERE d.handler = u.handler AND d.seq = u.seq`, replaced.handlers, replaced.seqs)
	}
	var put puts
	for i := range plans {
		for j := range plans[i].put {
			put.add(b, &plans[i].put[j])
		}
	}
	put.queue(b)
	return singles, nil
}

const removeBlocks = `DELETE FROM outcome_blocks AS b USING unnest($1::text[], $2::bigint[]) AS u (handler, first)
	WHERE b.handler = u.handler AND b.first_seq = u.first`

// keys name blocks or deliveries.
type keys struct {
	handlers []string
	seqs     []int64
}

func (k *keys) add(handler string, seq int64) {
	k.handlers, k.seqs = append(k.handlers, handler), append(k.seqs, seq)
}

// puts are blocks as arrays.
type puts struct {
	handlers                        []string
	firsts, lasts, newest, outcomes []int64
	blocks                          [][]byte
	bytes                           int
}

func (p *puts) add(b *pgx.Batch, f *frame) {
	p.handlers, p.firsts, p.lasts = append(p.handlers, f.handler), append(p.firsts, f.first), append(p.lasts, f.last)
	p.newest, p.outcomes, p.blocks = append(p.newest, f.newestAt), append(p.outcomes, f.outcomes), append(p.blocks, f.content)
	if p.bytes += len(f.content); p.bytes >= maxBytes {
		p.queue(b)
	}
}

func (p *puts) queue(b *pgx.Batch) {
	if len(p.handlers) > 0 {
		b.Queue(`INSERT INTO outcome_blocks (handler, first_seq, last_seq, newest_at, outcomes, block)
			SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[])
			ON CONFLICT (handler, first_seq) DO UPDATE SET last_seq = excluded.last_seq, newest_at = excluded.newest_at,
				outcomes = excluded.outcomes, block = excluded.block`, p.handlers, p.firsts, p.lasts, p.newest, p.outcomes, p.blocks)
	}
	*p = puts{}
}
