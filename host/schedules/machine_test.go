package schedules

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// machine is what survives a host: a clock, a log that takes each key once, and documents.
type machine struct {
	clock     time.Time
	events    []*event.Event
	keys      map[string]*event.Event
	documents map[string]string

	publishFails, putFails error // of the next calls
	loseReceipts           bool  // the next events are stored, and the answer is lost
}

func newMachine(text string) *machine {
	clock, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return &machine{clock: clock, keys: map[string]*event.Event{}, documents: map[string]string{}}
}

func (m *machine) now() time.Time { return m.clock }

func (m *machine) publish(_ context.Context, events []*event.Event) ([]event.Receipt, error) {
	if m.publishFails != nil {
		return nil, m.publishFails
	}
	receipts := make([]event.Receipt, len(events))
	for i, ev := range events {
		key := ev.Metadata().IdempotencyKey
		first, known := m.keys[key]
		switch {
		case !known:
			m.keys[key], first = ev, ev
			m.events = append(m.events, ev)
		case !first.SameContent(ev):
			receipts[i].Err = fault.New(fault.Conflict, "the key has other content")
			continue
		}
		receipts[i] = event.Receipt{EventID: first.ID(), IdempotencyKey: key, Duplicate: known}
	}
	if m.loseReceipts {
		m.loseReceipts = false
		return nil, errors.New("the answer is lost")
	}
	return receipts, nil
}

func (m *machine) PutDocuments(_ context.Context, list []event.Document) error {
	if m.putFails != nil {
		return m.putFails
	}
	for _, d := range list {
		if m.documents[d.ID] = d.Body; d.Body == "" {
			delete(m.documents, d.ID)
		}
	}
	return nil
}

func (m *machine) Documents(_ context.Context, kind string) (list []event.Document, err error) {
	for id, body := range m.documents {
		list = append(list, event.Document{Kind: kind, ID: id, Body: body})
	}
	return list, nil
}

// start returns the runner of a new host on the machine.
func (m *machine) start(t testing.TB, list ...spec.Schedule) *Runner {
	t.Helper()
	r, err := Open(t.Context(), Config{Store: m, Publish: m.publish, Now: m.now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	r.Set(timed(t, list...))
	return r
}

func timed(t testing.TB, list ...spec.Schedule) []Timed {
	t.Helper()
	for i := range list {
		if list[i].Type == "" {
			list[i].Type = "tick"
		}
	}
	timed, problems := Compile(list, func(*event.Event) error { return nil })
	if problems != nil {
		t.Fatal(problems)
	}
	return timed
}

// step fails the test unless the step succeeds.
func step(t testing.TB, r *Runner) {
	t.Helper()
	if _, err := r.step(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// to sets the clock to a time of the day.
func (m *machine) to(clock string) {
	at, err := time.Parse(time.DateTime, m.clock.Format(time.DateOnly)+" "+clock)
	if err != nil {
		panic(err)
	}
	m.clock = at
}

// published returns the due times of the events, in the order in which they were published.
func (m *machine) published() string {
	var list []string
	for _, ev := range m.events {
		list = append(list, ev.Time().Format("15:04"))
	}
	return strings.Join(list, " ")
}

func every(d time.Duration, missed spec.Missed) spec.Schedule {
	return spec.Schedule{Name: "a", Every: d, Missed: missed, Data: []byte(`{"n":1}`), Subject: "s"}
}
