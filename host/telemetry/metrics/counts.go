package metrics

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/histogram"
	"github.com/berth-host/berth/host/telemetry/figures"
)

const (
	maxTypes   = 200 // event types with counts of their own
	otherTypes = "other"
)

// Published counts events by type and publisher. It is safe for concurrent use.
type Published struct {
	mu     sync.Mutex
	types  map[event.Type]bool // with counts of their own
	counts map[kindOfEvent]uint64
}

type kindOfEvent struct{ typ, source string }

// NewPublished returns counts that are zero.
func NewPublished() *Published {
	return &Published{types: make(map[event.Type]bool), counts: make(map[kindOfEvent]uint64)}
}

// Note counts events that were appended to the log.
func (p *Published) Note(records []event.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, rec := range records {
		k := kindOfEvent{string(rec.Event.Type()), sourceOf(rec.Event)}
		if typ := rec.Event.Type(); !p.types[typ] {
			if len(p.types) < maxTypes {
				p.types[typ] = true
			} else {
				k.typ = otherTypes
			}
		}
		p.counts[k]++
	}
}

// sourceOf returns which kind of publisher an event has.
func sourceOf(ev *event.Event) string {
	switch by := ev.Origin().Publisher; {
	case by.Source == "orders":
		return "orders"
	case strings.HasPrefix(by.Source, "schedule:"):
		return "schedule"
	case by.Source != "":
		return "plugin"
	case by.Token != "" || by.Name != "":
		return "api"
	}
	return "unknown"
}

// Counts returns the counts, sorted.
func (p *Published) Counts() []figures.Published {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]figures.Published, 0, len(p.counts))
	for k, n := range p.counts {
		list = append(list, figures.Published{Type: k.typ, Source: k.source, Count: n})
	}
	slices.SortFunc(list, func(a, b figures.Published) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Source, b.Source))
	})
	return list
}

// Timings are the durations of one kind of work by its result. It is safe for concurrent
// use. The zero value has none.
type Timings struct {
	mu       sync.Mutex
	byResult map[string]*histogram.Histogram
}

// Observe counts a piece of work. The results are a small, fixed set.
func (t *Timings) Observe(result string, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byResult == nil {
		t.byResult = make(map[string]*histogram.Histogram)
	}
	h := t.byResult[result]
	if h == nil {
		h = new(histogram.Histogram)
		t.byResult[result] = h
	}
	h.Observe(uint64(max(0, took)))
}

// List returns the durations, sorted by result.
func (t *Timings) List() (list []figures.Timing) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, result := range slices.Sorted(maps.Keys(t.byResult)) {
		list = append(list, figures.Timing{Result: result, Duration: *t.byResult[result]})
	}
	return list
}
