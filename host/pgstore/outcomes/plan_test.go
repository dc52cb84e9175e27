package outcomes

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/event/pack"
)

// blocks are the blocks of one handler, by first Seq.
type blocks map[int64]frame

// near returns the blocks that Begin would read for a list: those in its range and some before.
// Those that no outcome belongs into have their content only if with returns true.
func (b blocks) near(list []pack.Outcome, with func() bool) (near []frame) {
	before := 0
	for _, first := range slices.Backward(slices.Sorted(maps.Keys(b))) {
		f := b[first]
		if uint64(f.first) > list[len(list)-1].Seq {
			continue
		}
		if uint64(f.first) <= list[0].Seq {
			if before++; before > blocksBefore {
				break
			}
		}
		if !inside(&f, list) && !with() {
			f.content = nil
		}
		near = append(near, f)
	}
	slices.Reverse(near)
	return near
}

func (b blocks) apply(to plan) {
	for _, first := range to.remove {
		delete(b, first)
	}
	for _, f := range to.put {
		b[f.first] = f
	}
}

// outcomes returns all outcomes, or an error when blocks overlap, are not what their columns
// say, or are too large.
func (b blocks) outcomes() (map[uint64]string, error) {
	all := make(map[uint64]string)
	end := int64(0)
	for _, first := range slices.Sorted(maps.Keys(b)) {
		f := b[first]
		list, ok := f.load()
		switch {
		case !ok:
			return nil, fmt.Errorf("the block %d to %d cannot be read", f.first, f.last)
		case first <= end || f.last < first:
			return nil, fmt.Errorf("the block %d to %d begins before the end of another, %d", f.first, f.last, end)
		case len(list) != int(f.outcomes) || len(list) > pack.MaxOutcomes || int(f.size) != len(f.content):
			return nil, fmt.Errorf("the block %d to %d has %d outcomes and %d bytes, but says %d and %d", f.first, f.last, len(list), len(f.content),
				f.outcomes, f.size)
		}
		newest := list[0].At
		for _, o := range list {
			all[o.Seq] = string(o.Result)
			newest = max(newest, o.At)
		}
		if newest != f.newestAt {
			return nil, fmt.Errorf("the newest outcome of the block %d to %d is of %d, but it says %d", f.first, f.last, newest, f.newestAt)
		}
		end = f.last
	}
	return all, nil
}

// TestPlanKeepsEveryOutcome stores random lists one after the other.
func TestPlanKeepsEveryOutcome(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p planner
		stored, want := blocks{}, map[uint64]string{}
		large := rapid.Bool().Draw(t, "large results")
		for step := range rapid.IntRange(1, 12).Draw(t, "steps") {
			from := rapid.Uint64Range(1, 3000).Draw(t, "from")
			list := make([]pack.Outcome, 0, 700)
			for seq := from; len(list) < cap(list); seq++ {
				if rapid.IntRange(0, 3).Draw(t, "gap") == 0 {
					seq += rapid.Uint64Range(0, 90).Draw(t, "length")
				}
				result := fmt.Sprint(step, " ", seq)
				if large {
					result = fmt.Sprintf("%02000d", seq+uint64(step)<<20)
				}
				list = append(list, pack.Outcome{Seq: seq, At: int64(seq*7919%1000 + 1), Result: []byte(result)})
				if rapid.IntRange(0, 40).Draw(t, "end") == 0 {
					break
				}
			}
			for _, o := range list {
				want[o.Seq] = string(o.Result)
			}
			to := p.plan("h", stored.near(list, func() bool { return rapid.Bool().Draw(t, "with content") }), list)
			if len(to.refused) > 0 {
				t.Fatalf("%d are refused", len(to.refused))
			}
			stored.apply(to)
			got, err := stored.outcomes()
			if err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(got, want) {
				t.Fatalf("after %d steps: got %d outcomes, want %d", step+1, len(got), len(want))
			}
		}
	})
}

// TestPlanFillsBlocks stores outcomes as a busy handler does, and one by one: the blocks fill
// up, and each outcome is encoded a small number of times.
func TestPlanFillsBlocks(t *testing.T) {
	for _, tt := range []struct{ each, encodedPer, blocks int }{
		{64, 4, 6000 / 256}, {1, 200, 6000 / 60}, {700, 2, 6000 / 400},
	} {
		var p planner
		stored := blocks{}
		encoded := 0
		for seq := uint64(1); seq <= 6000; {
			var list []pack.Outcome
			for range tt.each {
				list = append(list, pack.Outcome{Seq: seq, At: int64(seq) * 1_000_003, Duration: int64(seq*7919) % 90_000, Fuel: seq * 31 % 70_000})
				seq++
			}
			to := p.plan("h", stored.near(list, func() bool { return true }), list)
			for _, f := range to.put {
				encoded += int(f.outcomes)
			}
			stored.apply(to)
		}
		if _, err := stored.outcomes(); err != nil {
			t.Fatal(err)
		}
		if len(stored) > tt.blocks || encoded > tt.encodedPer*6000 {
			t.Errorf("%d at a time: got %d blocks, %d outcomes encoded; want at most %d and %d", tt.each, len(stored), encoded, tt.blocks,
				tt.encodedPer*6000)
		}
	}
}

// TestPlanLeavesBlocksThatCannotBeRead: outcomes of the range of such a block are refused, and
// those behind it are stored.
func TestPlanLeavesBlocksThatCannotBeRead(t *testing.T) {
	var p planner
	stored := blocks{}
	of := func(seqs ...uint64) (list []pack.Outcome) {
		for _, seq := range seqs {
			list = append(list, pack.Outcome{Seq: seq, At: 1})
		}
		return list
	}
	stored.apply(p.plan("h", nil, of(10, 20, 30)))
	damaged := stored[10]
	damaged.content = slices.Clone(damaged.content)
	damaged.content[len(damaged.content)/2] ^= 1
	list := of(5, 15, 30, 31, 40)
	to := p.plan("h", []frame{damaged}, list)
	if fmt.Sprint(seqs(to.refused)) != "[15 30]" || len(to.remove) > 0 || len(to.put) != 2 {
		t.Errorf("got %v refused, %d removed, %d put", seqs(to.refused), len(to.remove), len(to.put))
	}
	for _, f := range to.put {
		if f.first == 10 {
			t.Error("the damaged block is replaced")
		}
	}
}

func seqs(list []pack.Outcome) (seqs []uint64) {
	for _, o := range list {
		seqs = append(seqs, o.Seq)
	}
	return seqs
}
