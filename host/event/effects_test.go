package event

import (
	"testing"
	"time"
)

func TestRerunDoesNotCount(t *testing.T) {
	at := time.Unix(5, 0)
	first := Delivery{Handler: "h", Seq: 3, Status: StatusOK, Attempts: 1, Result: `1`, At: at, FirstAttempt: at, Effects: &Effects{Plugin: "h"}}
	if d := first.Rerun(); d.Attempts != 0 || d.Status != StatusRetrying || !d.Due.Equal(at) || d.Result != "" || d.Effects != nil ||
		d.ErrorClass != ClassKVConflict || !d.FirstAttempt.IsZero() {
		t.Errorf("got %+v", d)
	}
	third := first
	third.Attempts = 3
	if d := third.Rerun(); d.Attempts != 2 || !d.FirstAttempt.Equal(at) {
		t.Errorf("got %+v", d)
	}
	if _, kept := first.Rerun().pointer().Past(); kept {
		t.Error("a run that does not count is kept as an attempt")
	}
}

func (d Delivery) pointer() *Delivery { return &d }

func TestEffectsHaveASize(t *testing.T) {
	var none *Effects
	full := &Effects{Reads: []EffectRead{{Key: "ab"}}, Writes: []EffectWrite{{Key: "c", Value: []byte("def")}}}
	if !none.Empty() || none.Size() != 0 || !(&Effects{}).Empty() || full.Empty() || full.Size() != 2+32+1+3 {
		t.Errorf("empty %v, size %d; full %d", none.Empty(), none.Size(), full.Size())
	}
}

// TestWritesCombine compares the combination of two writes with one after the other.
func TestWritesCombine(t *testing.T) {
	type entry struct {
		value string
		until time.Time
		found bool
	}
	apply := func(e entry, w EffectWrite) entry {
		switch w.Kind {
		case EffectSet:
			return entry{string(w.Value), w.Until, true}
		case EffectSwap:
			if !e.found {
				e.until = time.Time{}
			}
			return entry{string(w.Value), e.until, true}
		case EffectExpire:
			if e.found {
				e.until = w.Until
			}
			return e
		}
		return entry{}
	}
	var writes []EffectWrite
	for _, until := range []time.Time{{}, time.Unix(7, 0), time.Unix(9, 0)} {
		for _, kind := range []EffectKind{EffectSet, EffectSwap, EffectDelete, EffectExpire} {
			w := EffectWrite{Kind: kind, Key: "k", Until: until}
			if kind == EffectSet || kind == EffectSwap {
				w.Value = []byte(until.String())
			}
			if kind == EffectSwap || kind == EffectDelete {
				w.Until = time.Time{}
			}
			writes = append(writes, w)
		}
	}
	for _, start := range []entry{{}, {"old", time.Time{}, true}, {"old", time.Unix(5, 0), true}} {
		for _, first := range writes {
			if first.Kind == EffectExpire && !start.found {
				continue // it was refused, and wrote nothing
			}
			for _, second := range writes {
				want := apply(apply(start, first), second)
				if got := apply(start, second.After(first)); got != want {
					t.Errorf("%+v, then %+v, then %+v: got %+v, want %+v", start, first, second, got, want)
				}
			}
		}
	}
}
