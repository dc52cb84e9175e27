package store

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
)

// TestSplitBelowMark splits a block across the mark "trimmed" so that one part is wholly
// below it: outcomes of removed events are not shown, that of an event which remains is,
// and the next Trim removes the part.
func TestSplitBelowMark(t *testing.T) {
	ctx := t.Context()
	s := withEvents(t, filepath.Join(t.TempDir(), "berth.db"), 1100)
	defer s.Close()
	save := func(handler string, d *event.Delivery, seqs ...uint64) {
		t.Helper()
		successes := []event.Successes{{Handler: handler}}
		var deliveries []event.Delivery
		for _, seq := range seqs {
			successes[0].Append(seq, event.Success{At: time.Unix(int64(seq), 0), Duration: 1, Fuel: seq}, nil)
		}
		if d != nil {
			successes, deliveries = nil, []event.Delivery{*d}
		}
		if _, _, err := s.SaveDeliveries(ctx, nil, successes, deliveries, nil); err != nil {
			t.Fatal(err)
		}
	}
	below := func() (n int) {
		t.Helper()
		if err := s.reader.QueryRow(`SELECT count(*) FROM outcome_blocks WHERE last_seq <= ?`, s.trimmed.Load()).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	shown := func(seq uint64, want ...string) {
		t.Helper()
		list, err := s.Deliveries(ctx, seq)
		if err != nil || len(list) != len(want) {
			t.Fatalf("event %d: got %+v, %v, want those of %v", seq, list, err, want)
		}
		for i, d := range list {
			if d.Handler != want[i] || d.Handler == "a" && d.Fuel != seq {
				t.Errorf("event %d: got %+v, want one of %s", seq, d, want[i])
			}
		}
	}
	var odd []uint64
	for seq := uint64(1); seq < 1024; seq += 2 { // a full block
		odd = append(odd, seq)
	}
	save("a", nil, odd...)
	save("b", &event.Delivery{Handler: "b", Seq: 101, Status: event.StatusDead, At: time.Unix(1, 0), ErrorClass: event.ClassRejected})
	if _, err := s.Trim(ctx, 800); err != nil {
		t.Fatal(err)
	}
	if n := below(); n != 0 {
		t.Fatalf("%d blocks are below the mark after the trim", n)
	}
	save("a", nil, 802)
	if n := below(); n != 1 {
		t.Fatalf("%d blocks are below the mark after the split, want the first half", n)
	}
	check := func() {
		t.Helper()
		shown(101, "a", "b")
		shown(103)
		shown(801, "a")
		shown(802, "a")
		shown(804)
	}
	check()
	if _, err := s.Trim(ctx, 801); err != nil {
		t.Fatal(err)
	}
	if n := below(); n != 0 {
		t.Errorf("%d blocks are below the mark after the next trim", n)
	}
	check()
	if _, err := s.Purge(ctx, event.DeadFilter{Handler: "b"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Trim(ctx, 802); err != nil {
		t.Fatal(err)
	}
	shown(101)
	shown(802, "a")
}
