package modeltest

import (
	"reflect"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// saveAttempts saves attempts of one event in one call: many when the drawn number says
// so, or one that was saved before.
func (run *modelRun) saveAttempts(rt *rapid.T) {
	if len(run.m.log) == 0 {
		rt.Skip("the log is empty")
	}
	k := modelKey{run.handlers.Draw(rt, "handler"), rapid.SampledFrom(run.m.log).Draw(rt, "record").Seq}
	n := rapid.SampledFrom([]int{1, 1, 2, 60}).Draw(rt, "attempts")
	var list []event.Delivery
	for number := 1; number <= n; number++ {
		run.seconds++
		d := event.Delivery{Handler: k.handler, Seq: k.seq, Status: event.StatusRetrying, Attempts: number, ErrorClass: event.ClassTrap,
			ErrorMessage: "m", At: at(run.seconds), Fuel: uint64(number), Instance: number}
		if number == n {
			d.Status = rapid.SampledFrom([]event.Status{event.StatusOK, event.StatusDead, event.StatusRetrying}).Draw(rt, "status")
		}
		if rapid.IntRange(0, 4).Draw(rt, "logs") == 0 {
			d.Logs = []spec.GuestLine{{At: at(1), Level: "info", Message: "line"}}
		}
		list = append(list, d)
		run.m.add(k, d)
	}
	if rapid.IntRange(0, 3).Draw(rt, "repeat") == 0 { // its last write may have been stored
		if _, _, err := run.s.SaveDeliveries(run.ctx, nil, nil, list, nil); err != nil {
			rt.Fatalf("SaveDeliveries: %v", err)
		}
	}
	if _, _, err := run.s.SaveDeliveries(run.ctx, nil, nil, list, nil); err != nil {
		rt.Fatalf("SaveDeliveries: %v", err)
	}
	d := list[n-1]
	run.m.deliveries[k] = modelDelivery{status: d.Status, at: d.At, fuel: d.Fuel}
}

// add keeps an attempt, and of all those of a delivery the newest.
func (m *model) add(k modelKey, d event.Delivery) {
	a, kept := d.Past()
	if !kept || slices.ContainsFunc(m.attempts[k], func(b event.PastAttempt) bool { // the clock was set back
		return b.Number == a.Number && b.Status == a.Status && b.At.Equal(a.At)
	}) {
		return
	}
	list := append(m.attempts[k], a)
	m.attempts[k] = slices.Clone(list[max(0, len(list)-event.MaxPastAttempts):])
}

func (run *modelRun) compareAttempts(rt *rapid.T, seq uint64) {
	want := slices.Concat(run.m.attempts[modelKey{"a", seq}], run.m.attempts[modelKey{"b", seq}])
	got, err := run.s.Attempts(run.ctx, seq)
	if err != nil || len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
		rt.Fatalf("Attempts(%d): got %+v, %v, want %+v", seq, got, err, want)
	}
}

// requeue requeues some events of the log and others.
func (run *modelRun) requeue(rt *rapid.T) {
	h := run.handlers.Draw(rt, "handler")
	seqs := rapid.SliceOfN(run.seqs, 0, 6).Draw(rt, "seqs")
	cursor, r := run.m.cursors[h], run.m.replays[h]
	want := 0
	for _, rec := range run.m.log {
		k := modelKey{h, rec.Seq}
		d, there := run.m.deliveries[k]
		under := r != nil && cursor < r.To
		passed := rec.Seq <= cursor || under && rec.Seq > r.To && rec.Seq <= r.Resume
		replayed := under && rec.Seq > cursor && rec.Seq >= r.From && rec.Seq <= r.To && !d.at.After(r.StartedAt)
		if !slices.Contains(seqs, rec.Seq) || there && (!d.status.Final() || replayed) || !there && !passed {
			continue
		}
		run.m.deliveries[k] = modelDelivery{status: event.StatusPending, at: time.Time{}}
		want++
	}
	if n, err := run.s.Requeue(run.ctx, h, seqs); n != want || err != nil {
		rt.Fatalf("Requeue(%s, %v): got %d, %v, want %d", h, seqs, n, err, want)
	}
}

var modelDocuments = [...]string{"a", "b", "c"}

func (run *modelRun) putDocuments(rt *rapid.T) {
	var list []event.Document
	for range rapid.IntRange(0, 4).Draw(rt, "documents") {
		d := event.Document{Kind: "k", ID: rapid.SampledFrom(modelDocuments[:]).Draw(rt, "id"),
			Body: rapid.SampledFrom([]string{"", "1", "2"}).Draw(rt, "body")}
		list = append(list, d)
		if run.m.documents[d.ID] = d.Body; d.Body == "" {
			delete(run.m.documents, d.ID)
		}
	}
	if err := run.s.PutDocuments(run.ctx, list); err != nil {
		rt.Fatalf("PutDocuments: %v", err)
	}
}

func (run *modelRun) compareDocuments(rt *rapid.T) {
	var want []event.Document
	for _, id := range modelDocuments {
		if body := run.m.documents[id]; body != "" {
			want = append(want, event.Document{Kind: "k", ID: id, Body: body})
		}
	}
	if got, err := run.s.Documents(run.ctx, "k"); err != nil || len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
		rt.Fatalf("Documents: got %+v, %v, want %+v", got, err, want)
	}
}
