package outcomes

import (
	"slices"

	"github.com/berth-host/berth/host/event/pack"
)

// plan is how a handler's blocks change.
type plan struct {
	put     []frame        // new blocks, or those in place of one with the same first Seq
	remove  []int64        // the first Seqs of blocks whose outcomes are in others now
	refused []pack.Outcome // of the ranges of blocks that must stay as they are
}

// planner makes plans. The zero value is ready; it is not safe for concurrent use.
type planner struct {
	encoder pack.Encoder
}

// inside returns whether an outcome of the list belongs into the range of a block.
func inside(f *frame, list []pack.Outcome) bool {
	i, _ := pack.Search(list, uint64(f.first))
	return i < len(list) && list[i].Seq <= uint64(f.last)
}

// plan returns how to store the outcomes of a list, which is ascending and not empty. blocks
// are the handler's blocks in the range of the list, and some before it, ascending; those that
// outcomes belong into have their content, others can have it.
func (p *planner) plan(handler string, blocks []frame, list []pack.Outcome) (to plan) {
	// From the end: a block, the outcomes that belong into it, and those behind it.
	for i := len(blocks) - 1; i >= 0 && len(list) > 0; i-- {
		b := &blocks[i]
		from, _ := pack.Search(list, uint64(b.first))
		part := list[from:]
		if len(part) == 0 {
			continue
		}
		list = list[:from]
		if !inside(b, part) {
			i, list = p.saveBehind(handler, blocks[:i+1], list, part, &to)
			continue
		}
		before, ok := b.load()
		if !ok {
			behind, _ := pack.Search(part, uint64(b.last)+1)
			to.refused = append(to.refused, part[:behind]...)
			p.write(handler, part[behind:], pack.MaxOutcomes, &to)
			continue
		}
		merged := pack.Union(make([]pack.Outcome, 0, len(before)+len(part)), before, part)
		limit := pack.MaxOutcomes
		if n := len(merged); n > limit { // blocks of about the same size: more outcomes may come between
			count := (n + limit - 1) / limit
			limit = (n + count - 1) / count
		}
		p.write(handler, merged, limit, &to)
	}
	p.write(handler, list, pack.MaxOutcomes, &to)
	return to
}

// saveBehind stores a part behind the last of the blocks, merged with it and with blocks
// before it that are small. A block that is merged takes the outcomes of the list along that
// do not precede it. It returns the index of the first block that was merged, or that of the
// last block, and the rest of the list.
func (p *planner) saveBehind(handler string, blocks []frame, list, part []pack.Outcome, to *plan) (int, []pack.Outcome) {
	merged, first := part, len(blocks)
	for i := len(blocks) - 1; i >= 0 && blocks[i].absorbs(len(merged)); i-- {
		b := &blocks[i]
		before, ok := b.load()
		if !ok {
			break
		}
		if first < len(blocks) {
			to.remove = append(to.remove, blocks[first].first)
		}
		from, _ := pack.Search(list, uint64(b.first))
		merged = slices.Concat(pack.Union(nil, before, list[from:]), merged)
		first, list = i, list[:from]
	}
	p.write(handler, merged, pack.MaxOutcomes, to)
	return min(first, len(blocks)-1), list
}

// write encodes outcomes as blocks of at most limit.
func (p *planner) write(handler string, list []pack.Outcome, limit int, to *plan) {
	for len(list) > 0 {
		n := pack.Cut(list, limit)
		newest := list[0].At
		for i := range list[:n] {
			newest = max(newest, list[i].At)
		}
		content := p.encoder.Append(nil, list[:n])
		to.put = append(to.put, frame{handler: handler, first: seqOf(list[0].Seq), last: seqOf(list[n-1].Seq), newestAt: newest,
			outcomes: int64(n), size: int64(len(content)), content: content})
		list = list[n:]
	}
}
