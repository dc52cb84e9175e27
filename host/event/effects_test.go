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
	some := &Effects{Reads: []EffectRead{{Key: "ab"}}, Writes: []EffectWrite{{Key: "c", Value: []byte("def")}}}
	if !none.Empty() || none.Size() != 0 || !(&Effects{}).Empty() || some.Empty() || some.Size() != 2+32+1+3 {
		t.Errorf("empty %v, size %d; some %d", none.Empty(), none.Size(), some.Size())
	}
}
