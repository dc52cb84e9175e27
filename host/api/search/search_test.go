package search_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/api/search"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// host is a log with deliveries in memory. It counts the looks at deliveries.
type host struct {
	t          *testing.T
	log        []event.Record
	deliveries map[uint64][]wire.Delivery
	looks      int
	err        error
}

func newHost(t *testing.T) *host { return &host{t: t, deliveries: map[uint64][]wire.Delivery{}} }

// start is when the first event is published; each further one comes a second later.
func start() time.Time { return time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC) }

// add appends an event, with a gap before every tenth, and returns its record.
func (h *host) add(d event.Draft, origin event.Origin, deliveries ...wire.Delivery) event.Record {
	h.t.Helper()
	seq := uint64(1)
	if n := len(h.log); n > 0 {
		seq = h.log[n-1].Seq + 1
		if n%10 == 9 {
			seq++
		}
	}
	d.Time = start().Add(time.Duration(len(h.log)) * time.Second)
	ev, err := event.New(d)
	if err != nil {
		h.t.Fatal(err)
	}
	rec := event.Record{Seq: seq, Event: ev.WithOrigin(origin)}
	h.log = append(h.log, rec)
	h.deliveries[seq] = deliveries
	return rec
}

func (h *host) Event(_ context.Context, id string) (event.Record, error) {
	for _, rec := range h.log {
		if rec.Event.ID() == id || rec.Event.Metadata().IdempotencyKey == id {
			return rec, h.err
		}
	}
	return event.Record{}, fault.New(fault.NotFound, "there is no event %s", id)
}

func (h *host) Events(_ context.Context, q event.Query) (list []event.Record, err error) {
	for _, rec := range slices.Backward(h.log) {
		if q.Selects(rec) && len(list) < q.Limit {
			list = append(list, rec)
		}
	}
	return list, h.err
}

func (h *host) Read(_ context.Context, from uint64, limit int) (list []event.Record, err error) {
	for _, rec := range h.log {
		if rec.Seq >= from && len(list) < limit {
			list = append(list, rec)
		}
	}
	return list, h.err
}

func (h *host) SeqAt(_ context.Context, t time.Time) (uint64, error) {
	for _, rec := range h.log {
		if !rec.Event.Metadata().Time.Before(t) {
			return rec.Seq, h.err
		}
	}
	return h.log[len(h.log)-1].Seq + 1, h.err
}

func (h *host) Deliveries(_ context.Context, rec event.Record) ([]wire.Delivery, error) {
	h.looks++
	return h.deliveries[rec.Seq], h.err
}

func (h *host) DeadLetters(_ context.Context, f event.DeadFilter, cursor string, limit int) (list []wire.DeadLetter, next string, err error) {
	at, err := event.ParseDeadPosition(cursor)
	if err != nil {
		return nil, "", err
	}
	for _, rec := range slices.Backward(h.log) {
		for _, d := range slices.Backward(h.deliveries[rec.Seq]) {
			position := event.DeadPosition{Seq: rec.Seq, Handler: d.Plugin}
			found := event.DeadLetter{Event: rec.Event}
			if found.Handler = d.Plugin; d.Error != nil {
				found.ErrorClass = event.Class(d.Error.Class)
			}
			if d.Status != "dead" || cursor != "" && !at.Before(position) || !f.Selects(found) {
				continue
			}
			if len(list) == limit {
				return list, event.DeadPosition{Seq: list[limit-1].Seq, Handler: list[limit-1].Plugin}.String(), h.err
			}
			list = append(list, wire.DeadLetter{Seq: rec.Seq, Plugin: d.Plugin})
		}
	}
	return list, "", h.err
}

func (h *host) Retrying(_ context.Context, handler string, after uint64, limit int) (list []event.Delivery, err error) {
	for _, rec := range h.log {
		for _, d := range h.deliveries[rec.Seq] {
			if d.Plugin == handler && d.Status == "retrying" && rec.Seq > after && len(list) < limit {
				list = append(list, event.Delivery{Handler: handler, Seq: rec.Seq})
			}
		}
	}
	return list, h.err
}

func (h *host) searcher() *search.Searcher {
	return &search.Searcher{Log: h, Deliveries: h, DeadLetters: h, Retries: h, Handlers: func() []string { return []string{"a", "b"} }, MaxTime: time.Hour}
}

// all returns the Seqs that a filter selects, in pages of a size, 0 for no bound.
func all(t interface{ Fatal(...any) }, s *search.Searcher, f search.Filter, size int) (seqs []uint64, pages int) {
	for before := uint64(0); ; {
		pages++
		n := 0
		next, err := s.Each(context.Background(), f, before, func(found search.Found) (bool, error) {
			if n == size && size > 0 {
				return false, nil
			}
			n++
			seqs = append(seqs, found.Seq)
			return true, nil
		})
		switch {
		case err != nil:
			t.Fatal(err)
		case next != 0 && before != 0 && next >= before:
			t.Fatal("a search does not advance")
		case next != 0:
			before = next
		case n == size && size > 0:
			before = seqs[len(seqs)-1]
		default:
			return seqs, pages
		}
	}
}

func delivery(plugin, status, class string) wire.Delivery {
	d := wire.Delivery{Plugin: plugin, Status: status}
	if class != "" {
		d.Error = &wire.DeliveryError{Class: class}
	}
	return d
}

func TestFilters(t *testing.T) {
	h := newHost(t)
	first := h.add(event.Draft{Type: "order.made", Subject: "o-1", IdempotencyKey: "k1", Source: "shop", CorrelationID: "c"},
		event.Origin{Publisher: spec.Publisher{Token: "t1", Name: "web"}}, delivery("a", "ok", ""), delivery("b", "dead", "trap"))
	h.add(event.Draft{Type: "order.made", Subject: "o-2", CorrelationID: "c", CausationID: first.Event.ID()},
		event.Origin{Publisher: spec.Publisher{Source: "a"}}, delivery("a", "retrying", "timeout"))
	h.add(event.Draft{Type: "stock", Subject: "o-1"}, event.Origin{}, delivery("b", "pending", ""))
	h.add(event.Draft{Type: "order.made"}, event.Origin{}, delivery("a", "retrying", "trap"), delivery("b", "ok", ""))
	for name, tt := range map[string]struct {
		filter search.Filter
		want   string
	}{
		"all":                       {search.Filter{}, "4 3 2 1"},
		"type":                      {search.Filter{Type: "order.made"}, "4 2 1"},
		"subject":                   {search.Filter{Subject: "o-1"}, "3 1"},
		"key":                       {search.Filter{Key: "k1"}, "1"},
		"key of another type":       {search.Filter{Key: "k1", Type: "stock"}, ""},
		"condition":                 {search.Filter{Select: func(ev *event.Event) bool { return strings.HasPrefix(string(ev.Type()), "s") }}, "3"},
		"correlation":               {search.Filter{Correlation: "c"}, "2 1"},
		"cause":                     {search.Filter{Cause: first.Event.ID()}, "2"},
		"cause by key":              {search.Filter{Cause: "k1"}, "2"},
		"cause that is gone":        {search.Filter{Cause: "gone"}, ""},
		"source":                    {search.Filter{Source: "shop"}, "1"},
		"publisher by id":           {search.Filter{Publisher: "t1"}, "1"},
		"publisher by name":         {search.Filter{Publisher: "web"}, "1"},
		"publisher within the host": {search.Filter{Publisher: "a"}, "2"},
		"since":                     {search.Filter{Since: start().Add(2 * time.Second)}, "4 3"},
		"until":                     {search.Filter{Until: start().Add(2 * time.Second)}, "2 1"},
		"since and until":           {search.Filter{Since: start().Add(time.Second), Until: start().Add(2 * time.Second)}, "2"},
		"until the beginning":       {search.Filter{Until: start()}, ""},
		"since the end":             {search.Filter{Since: start().Add(time.Hour)}, ""},
		"handler":                   {search.Filter{Handler: "a"}, "4 2 1"},
		"status":                    {search.Filter{Status: "ok"}, "4 1"},
		"status of a handler":       {search.Filter{Handler: "a", Status: "ok"}, "1"},
		"pending":                   {search.Filter{Handler: "b", Status: "pending"}, "3"},
		"dead":                      {search.Filter{Status: "dead"}, "1"},
		"dead of another":           {search.Filter{Status: "dead", Handler: "a"}, ""},
		"retrying":                  {search.Filter{Status: "retrying"}, "4 2"},
		"retrying since":            {search.Filter{Status: "retrying", Since: start().Add(3 * time.Second)}, "4"},
		"class":                     {search.Filter{Class: "trap"}, "4 1"},
		"class of a handler":        {search.Filter{Class: "trap", Handler: "a"}, "4"},
		"class and status":          {search.Filter{Class: "trap", Status: "dead"}, "1"},
		"class of what is ok":       {search.Filter{Class: "trap", Status: "ok"}, ""},
		"dead by key":               {search.Filter{Key: "k1", Status: "dead"}, "1"},
		"dead of a source":          {search.Filter{Status: "dead", Source: "api"}, ""},
	} {
		for _, size := range []int{0, 1, 2} {
			seqs, _ := all(t, h.searcher(), tt.filter, size)
			if got := strings.Trim(fmt.Sprint(seqs), "[]"); got != tt.want {
				t.Errorf("%s in pages of %d: got %q, want %q", name, size, got, tt.want)
			}
		}
	}
}

// TestSearchIsBounded: a request examines so many events and no more, and the next one
// continues after them.
func TestSearchIsBounded(t *testing.T) {
	h := newHost(t)
	for i := range 100 {
		h.add(event.Draft{Type: "t", Subject: fmt.Sprint(i)}, event.Origin{}, delivery("a", "ok", ""))
	}
	s := h.searcher()
	s.MaxExamined = 10
	var last search.Found
	next, err := s.Each(t.Context(), search.Filter{Handler: "a", Select: func(ev *event.Event) bool { return ev.Subject() == "0" }}, 0,
		func(found search.Found) (bool, error) { last = found; return true, nil })
	if err != nil || next != h.log[90].Seq || last.Seq != 0 || h.looks != 0 {
		t.Errorf("got next %d, %v, found %d, %d looks at deliveries", next, err, last.Seq, h.looks)
	}
	seqs, pages := all(t, s, search.Filter{Select: func(ev *event.Event) bool { return ev.Subject() == "0" }}, 0)
	if len(seqs) != 1 || pages < 10 {
		t.Errorf("got %v in %d pages", seqs, pages)
	}
	s.MaxExamined = 10 * search.LookCost
	if next, err := s.Each(t.Context(), search.Filter{Handler: "b"}, 0, func(search.Found) (bool, error) { return true, nil }); err != nil || next != h.log[90].Seq || h.looks != 10 {
		t.Errorf("got next %d, %v, %d looks at deliveries", next, err, h.looks)
	}
	s.MaxExamined, s.MaxTime = 0, time.Nanosecond
	if next, err := s.Each(t.Context(), search.Filter{}, 0, func(search.Found) (bool, error) { return true, nil }); err != nil || next != h.log[99].Seq {
		t.Errorf("without time: got next %d, %v", next, err)
	}
}

// TestFailuresAreFoundWithoutWhatSucceeded: the events that are ok are not examined.
func TestFailuresAreFoundWithoutWhatSucceeded(t *testing.T) {
	h := newHost(t)
	h.add(event.Draft{Type: "t"}, event.Origin{}, delivery("a", "dead", "trap"))
	h.add(event.Draft{Type: "t"}, event.Origin{}, delivery("b", "retrying", "trap"))
	for range 1000 {
		h.add(event.Draft{Type: "t"}, event.Origin{}, delivery("a", "ok", ""))
	}
	s := h.searcher()
	s.MaxExamined = 10 * search.LookCost
	for _, f := range []search.Filter{{Status: "dead"}, {Status: "retrying"}, {Class: "trap"}, {Class: "trap", Handler: "b"}} {
		if seqs, pages := all(t, s, f, 0); len(seqs) == 0 || pages != 1 {
			t.Errorf("%+v: got %v in %d pages", f, seqs, pages)
		}
	}
	if h.looks > 10 {
		t.Errorf("it has looked at the deliveries of %d events", h.looks)
	}
}

func TestSearchErrors(t *testing.T) {
	h := newHost(t)
	h.add(event.Draft{Type: "t"}, event.Origin{}, delivery("a", "dead", "trap"), delivery("b", "retrying", "trap"))
	broken := errors.New("the disk is broken")
	if _, err := h.searcher().Each(t.Context(), search.Filter{}, 0, func(search.Found) (bool, error) { return false, broken }); !errors.Is(err, broken) {
		t.Errorf("of the visitor: got %v", err)
	}
	h.err = broken
	for _, f := range []search.Filter{{}, {Handler: "a"}, {Status: "dead"}, {Status: "retrying"}, {Class: "trap"}, {Since: start()}, {Until: start().Add(time.Hour)}} {
		if _, err := h.searcher().Each(t.Context(), f, 0, func(search.Found) (bool, error) { return true, nil }); !errors.Is(err, broken) {
			t.Errorf("%+v: got %v", f, err)
		}
	}
	if _, err := h.searcher().Tree(t.Context(), h.log[0], time.Time{}); !errors.Is(err, broken) {
		t.Errorf("of a tree: got %v", err)
	}
}

// TestSearchModel compares searches of random logs, in random pages and bounds, with a look
// at every event.
func TestSearchModel(t *testing.T) {
	outer := t
	rapid.Check(t, func(t *rapid.T) {
		h := newHost(outer)
		word := rapid.SampledFrom([]string{"x", "y"})
		classes := []string{"trap", "timeout"}
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			var list []wire.Delivery
			for _, plugin := range []string{"a", "b"} {
				switch status := rapid.SampledFrom([]string{"", "ok", "pending", "retrying", "dead"}).Draw(t, "status"); status {
				case "":
				case "retrying", "dead":
					list = append(list, delivery(plugin, status, rapid.SampledFrom(classes).Draw(t, "class")))
				default:
					list = append(list, delivery(plugin, status, ""))
				}
			}
			h.add(event.Draft{Type: word.Draw(t, "type"), Subject: word.Draw(t, "subject"), Source: word.Draw(t, "source")}, event.Origin{}, list...)
		}
		optional := func(label string, words ...string) string {
			return rapid.SampledFrom(append(words, "", "")).Draw(t, label)
		}
		f := search.Filter{Type: event.Type(optional("of type", "x")), Subject: optional("of subject", "y"), Source: optional("of source", "x"),
			Handler: optional("handler", "a", "b"), Status: event.Status(optional("of status", "ok", "pending", "retrying", "dead")),
			Class: event.Class(optional("of class", classes...))}
		if rapid.Bool().Draw(t, "since") {
			f.Since = start().Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "from")) * time.Second)
		}
		if rapid.Bool().Draw(t, "until") {
			f.Until = start().Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "to")) * time.Second)
		}
		var want []uint64
		for _, rec := range slices.Backward(h.log) {
			meta := rec.Event.Metadata()
			is := (f.Type == "" || rec.Event.Type() == f.Type) && (f.Subject == "" || meta.Subject == f.Subject) && (f.Source == "" || meta.Source == f.Source) &&
				(f.Since.IsZero() || !meta.Time.Before(f.Since)) && (f.Until.IsZero() || meta.Time.Before(f.Until))
			if f.Handler != "" || f.Status != "" || f.Class != "" {
				is = is && slices.ContainsFunc(h.deliveries[rec.Seq], func(d wire.Delivery) bool {
					return (f.Handler == "" || d.Plugin == f.Handler) && (f.Status == "" || d.Status == string(f.Status)) &&
						(f.Class == "" || d.Error != nil && d.Error.Class == string(f.Class))
				})
			}
			if is {
				want = append(want, rec.Seq)
			}
		}
		s := h.searcher()
		s.MaxExamined = rapid.IntRange(0, 20).Draw(t, "max examined")
		if got, _ := all(t, s, f, rapid.IntRange(0, 5).Draw(t, "page")); !slices.Equal(got, want) {
			t.Fatalf("%+v: got %v, want %v", f, got, want)
		}
	})
}

// shape writes a tree as id(children).
func shape(names map[string]string, n wire.EventNode) string {
	text := names[n.EventID]
	if len(n.Children) > 0 {
		var below []string
		for _, c := range n.Children {
			below = append(below, shape(names, c))
		}
		text += "(" + strings.Join(below, " ") + ")"
	}
	return text
}

func TestTree(t *testing.T) {
	h := newHost(t)
	names := map[string]string{}
	add := func(name, cause string, origin event.Origin, deliveries ...wire.Delivery) event.Record {
		d := event.Draft{Type: "t", CorrelationID: "chain"}
		for id, n := range names {
			if n == cause {
				d.CausationID = id
			}
		}
		rec := h.add(d, origin, deliveries...)
		names[rec.Event.ID()] = name
		return rec
	}
	root := add("root", "", event.Origin{}, delivery("a", "ok", ""), delivery("b", "dead", "trap"))
	h.add(event.Draft{Type: "t", CorrelationID: "chain"}, event.Origin{}) // of the chain by its text only
	one := add("one", "root", event.Origin{})
	add("two", "root", event.Origin{})
	h.add(event.Draft{Type: "t", CorrelationID: "other", CausationID: root.Event.ID()}, event.Origin{}) // a producer's claim
	leaf := add("leaf", "one", event.Origin{})
	add("copy", "", event.Origin{CopyOf: leaf.Event.ID()})
	for _, from := range []event.Record{root, one, leaf, h.log[len(h.log)-1]} {
		tree, err := h.searcher().Tree(t.Context(), from, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := shape(names, tree.Root), "root(one(leaf(copy)) two)"; got != want || tree.Truncated {
			t.Errorf("from %s: got %s, truncated %v, want %s", names[from.Event.ID()], got, tree.Truncated, want)
		}
		if c := tree.Root.DeliveryCounts; c == nil || *c != (wire.DeliveryCounts{OK: 1, Dead: 1}) {
			t.Errorf("the root has the deliveries %+v", c)
		}
	}
}

// TestTreeIsBounded: the way to the event that was asked for is there, whatever comes between.
func TestTreeIsBounded(t *testing.T) {
	h := newHost(t)
	names := map[string]string{}
	root := h.add(event.Draft{Type: "t", CorrelationID: "chain"}, event.Origin{})
	names[root.Event.ID()] = "root"
	for range 100 {
		h.add(event.Draft{Type: "t"}, event.Origin{})
	}
	late := h.add(event.Draft{Type: "t", CorrelationID: "chain", CausationID: root.Event.ID()}, event.Origin{})
	names[late.Event.ID()] = "late"
	s := h.searcher()
	s.MaxExamined = 10
	for from, want := range map[*event.Record]string{&root: "root", &late: "root(late)"} {
		tree, err := s.Tree(t.Context(), *from, time.Time{})
		if got := shape(names, tree.Root); err != nil || got != want || !tree.Truncated {
			t.Errorf("got %s, truncated %v, %v, want %s", got, tree.Truncated, err, want)
		}
	}
	wide := newHost(t)
	root = wide.add(event.Draft{Type: "t", CorrelationID: "chain"}, event.Origin{})
	for range 2 * search.MaxNodes {
		wide.add(event.Draft{Type: "t", CorrelationID: "chain", CausationID: root.Event.ID()}, event.Origin{})
	}
	tree, err := wide.searcher().Tree(t.Context(), root, time.Time{})
	if err != nil || len(tree.Root.Children) != search.MaxNodes-1 || !tree.Truncated {
		t.Errorf("got %d events below the root, truncated %v, %v", len(tree.Root.Children), tree.Truncated, err)
	}
}

// TestTreeOfClaims: causes that producers have written do not lead in circles, nor to events
// that they do not name by id.
func TestTreeOfClaims(t *testing.T) {
	h := newHost(t)
	self := h.add(event.Draft{Type: "t", IdempotencyKey: "k", CausationID: "k"}, event.Origin{})
	byKey := h.add(event.Draft{Type: "t", CausationID: "k"}, event.Origin{})
	gone := h.add(event.Draft{Type: "t", CausationID: "gone"}, event.Origin{})
	for _, rec := range []event.Record{self, byKey, gone} {
		tree, err := h.searcher().Tree(t.Context(), rec, time.Time{})
		if err != nil || tree.Root.EventID != rec.Event.ID() || len(tree.Root.Children) != 0 {
			t.Errorf("got %+v, %v", tree, err)
		}
	}
}

func TestCount(t *testing.T) {
	got := search.Count(slices.Collect(maps.Values(map[int]wire.Delivery{1: delivery("a", "ok", ""), 2: delivery("b", "dead", ""), 3: delivery("c", "retrying", ""),
		4: delivery("d", "delivering", ""), 5: delivery("e", "pending", ""), 6: delivery("f", "pending", "")})))
	if got != (wire.DeliveryCounts{OK: 1, Dead: 1, Retrying: 1, Delivering: 1, Pending: 2}) {
		t.Errorf("got %+v", got)
	}
}
