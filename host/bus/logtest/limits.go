package logtest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

func mustStatus(t testing.TB, l bus.Log) event.LogStatus {
	t.Helper()
	st, err := l.Status(t.Context())
	if err != nil {
		t.Fatalf("Status: %v", err)
	}
	return st
}

// status checks that the status is exact: it counts no duplicate, no conflict and no
// trimmed event.
func status(t *testing.T, l bus.Log) {
	before := time.Now()
	check := func(first uint64, events ...*event.Event) {
		t.Helper()
		st := mustStatus(t, l)
		want := event.LogStatus{FirstSeq: first, LastSeq: l.Last(), Events: int64(len(events)), OldestAt: st.OldestAt}
		for _, ev := range events {
			want.Bytes += ev.Size()
		}
		if st != want {
			t.Errorf("Status: got %+v, want %+v", st, want)
		}
		if oldest := st.OldestAt; len(events) == 0 != oldest.IsZero() ||
			len(events) > 0 && (oldest.Before(before) || oldest.After(time.Now())) {
			t.Errorf("Status: the oldest of %d events is of %v", len(events), oldest)
		}
	}
	check(0)
	events := append(Numbered(t, "k", 40), Make(t, event.Draft{Subject: `"ü"`, Source: "s",
		Data: []byte(`"` + strings.Repeat("ü", 9000) + `"`)}))
	receipts := mustAppend(t, l, events...)
	check(receipts[0].Seq, events...)
	mustAppend(t, l, events[0], Make(t, event.Draft{IdempotencyKey: "k-1", Data: []byte("1")}), events[2])
	check(receipts[0].Seq, events...)
	if _, err := l.Trim(t.Context(), receipts[10].Seq); err != nil {
		t.Fatal(err)
	}
	check(receipts[10].Seq, events[10:]...)
	again := Make(t, event.Draft{IdempotencyKey: "k-3"})
	mustAppend(t, l, again, events[12])
	check(receipts[10].Seq, append(events[10:len(events):len(events)], again)...)
	if _, err := l.Trim(t.Context(), l.Last()+1); err != nil {
		t.Fatal(err)
	}
	check(0)
}

// fullLog checks that calls over the bound are refused as a whole, and no others;
// trimming or another bound frees capacity.
func fullLog(t *testing.T, l bus.Log) {
	ctx := t.Context()
	refused := func(what string, events ...*event.Event) {
		t.Helper()
		was := mustStatus(t, l)
		_, err := l.Append(ctx, events)
		WantCode(t, what, err, fault.Exhausted)
		if fault.RetryAfter(err) <= 0 {
			t.Errorf("%s: %v does not say when to try again", what, err)
		}
		if is := mustStatus(t, l); is != was {
			t.Errorf("%s: the log was %+v and is %+v", what, was, is)
		}
	}
	events := make([]*event.Event, 8)
	for i := range events { // of one size: the text of a time is shorter without zeros at its end
		events[i] = Make(t, event.Draft{IdempotencyKey: fmt.Sprint("k-", i), Time: time.Unix(1, 1)})
	}
	size := int64(0)
	for _, ev := range events[:5] {
		size += ev.Size()
	}
	l.SetMaxBytes(size)
	if st := mustStatus(t, l); st.MaxBytes != size {
		t.Errorf("MaxBytes: got %d, want %d", st.MaxBytes, size)
	}
	refused("a batch that is too large", events[:6]...)
	receipts := mustAppend(t, l, events[:5]...) // exactly full
	refused("one more", events[5])
	l.SetMaxBytes(size + events[5].Size() - 1)
	refused("one byte short", events[5])
	l.SetMaxBytes(size + events[5].Size())
	mustAppend(t, l, events[5])
	refused("full again", events[6])
	if _, err := l.Trim(ctx, receipts[1].Seq); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, events[6])
	l.SetMaxBytes(1) // far below the present size: events stay
	refused("over a lowered bound", events[7])
	if got := len(ReadAll(t, l, 1, 100)); got != 6 {
		t.Errorf("the log has %d events, want 6", got)
	}
	l.SetMaxBytes(0)
	mustAppend(t, l, events[7])
}

// fullForMany checks that publishers that race for the last bytes do not exceed the
// bound.
func fullForMany(t *testing.T, l bus.Log) {
	const publishers, each = 8, 30
	one := Make(t, event.Draft{Type: "t"}).Size()
	l.SetMaxBytes(one * publishers * each / 2)
	var wg sync.WaitGroup
	for range publishers {
		wg.Go(func() {
			for range each {
				if _, err := l.Append(t.Context(), []*event.Event{Make(t, event.Draft{Type: "t"})}); err != nil &&
					!fault.Is(err, fault.Exhausted) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	st, want := mustStatus(t, l), int64(0)
	for _, rec := range ReadAll(t, l, 1, 100) {
		want += rec.Event.Size()
	}
	if st.Bytes != want || st.Bytes > st.MaxBytes || st.Bytes < st.MaxBytes-2*one {
		t.Errorf("got %+v, counted %d", st, want)
	}
}

// childrenOfAFullLog checks that outcomes are stored in a full log, with their
// children: otherwise no event could ever be trimmed.
func childrenOfAFullLog(t *testing.T, s bus.Engine) {
	parent := Make(t, event.Draft{IdempotencyKey: "parent"})
	mustAppend(t, s, parent)
	s.SetMaxBytes(1)
	child := Make(t, event.Draft{IdempotencyKey: "child"})
	if _, _, err := s.SaveDeliveries(t.Context(), nil, nil, []event.Delivery{{Handler: "a", Seq: 1, Status: event.StatusOK,
		Children: []*event.Event{child, child}}},
		[]event.Cursor{{Name: "handler/a", Seq: 1}}); err != nil {
		t.Fatal(err)
	}
	if st := mustStatus(t, s); st.Events != 2 || st.Bytes != parent.Size()+child.Size() {
		t.Errorf("got %+v", st)
	}
	// Refused children do not count, their neighbours do.
	clash := Make(t, event.Draft{IdempotencyKey: "child", Data: []byte("1")})
	beside := Make(t, event.Draft{IdempotencyKey: "beside"})
	if saved, _, err := s.SaveDeliveries(t.Context(), nil, nil, []event.Delivery{
		{Handler: "b", Seq: 1, Status: event.StatusOK, Children: []*event.Event{Make(t, event.Draft{}), clash}},
		{Handler: "c", Seq: 1, Status: event.StatusOK, Children: []*event.Event{beside}},
	}, nil); err != nil || len(saved.Refused) != 1 {
		t.Fatalf("got %+v, %v", saved, err)
	}
	if st := mustStatus(t, s); st.Events != 3 || st.Bytes != parent.Size()+child.Size()+beside.Size() {
		t.Errorf("after a conflict: got %+v", st)
	}
}
