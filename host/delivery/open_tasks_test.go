package delivery

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/delivery/tasks"
	"github.com/berth-host/berth/host/event"
)

// openModel compares a handler's open tasks with a map.
type openModel struct {
	h    handler
	want map[uint64]*tasks.Task
	read uint64
	ev   *event.Event
}

// TestOpenTasksAreAMap reads events, adds others beside the window, makes tasks final and
// moves the cursor, in any order.
func TestOpenTasksAreAMap(t *testing.T) {
	ev, err := event.New(event.Draft{Type: "t"})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		m := &openModel{want: make(map[uint64]*tasks.Task), read: 100, ev: ev}
		m.h.open.Window = &m.h.window
		t.Repeat(map[string]func(*rapid.T){
			"read":   m.readOne,
			"beside": m.addBeside,
			"record": m.record,
			"final":  m.makeFinal,
			"":       m.check,
		})
	})
}

func (m *openModel) readOne(t *rapid.T) {
	m.read += rapid.Uint64Range(1, 3).Draw(t, "gap") // events between are not for the handler
	x := &tasks.Task{Record: event.Record{Seq: m.read, Event: m.ev}, Users: 1}
	m.h.window.Push(x)
	m.add(x)
}

// addBeside adds a redriven event: its Seq may be that of a final task in the window.
func (m *openModel) addBeside(t *rapid.T) {
	seq := rapid.Uint64Range(90, m.read).Draw(t, "seq")
	if m.want[seq] == nil {
		m.add(&tasks.Task{Record: event.Record{Seq: seq, Event: m.ev}})
	}
}

func (m *openModel) add(x *tasks.Task) {
	m.h.open.Add(x)
	m.want[x.Record.Seq] = x
}

// record lets the cursor pass a task.
func (m *openModel) record(t *rapid.T) {
	if x := m.want[rapid.Uint64Range(90, m.read).Draw(t, "seq")]; x != nil {
		x.Recorded = true
		m.h.cursor()
	}
}

func (m *openModel) makeFinal(t *rapid.T) {
	seq := rapid.Uint64Range(90, m.read).Draw(t, "seq")
	if x := m.want[seq]; x != nil {
		x.Recorded = true
		m.h.open.Remove(x)
		x.Record.Event = nil
		m.h.free.Drop(x)
		delete(m.want, seq)
		m.h.cursor()
	}
}

func (m *openModel) check(t *rapid.T) {
	if m.h.open.N != len(m.want) {
		t.Fatalf("it counts %d, want %d", m.h.open.N, len(m.want))
	}
	all := make(map[uint64]bool)
	for x := range m.h.open.All {
		if all[x.Record.Seq] {
			t.Fatalf("task %d is yielded twice", x.Record.Seq)
		}
		all[x.Record.Seq] = true
	}
	for seq := range m.read - 80 {
		seq += 85
		if got := m.h.open.Get(seq); got != m.want[seq] || all[seq] != (got != nil) {
			t.Fatalf("get(%d) returns %p, and all yields it: %v; want %p", seq, got, all[seq], m.want[seq])
		}
	}
}
