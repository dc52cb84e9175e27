// Package effecttest tests the effects of atomic deliveries in engines. For tests only.
package effecttest

import (
	"crypto/sha256"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/bus/logtest/kvtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// Engine is an engine under test. Restart returns the one that has its data after a restart;
// nil if it loses them.
type Engine struct {
	bus.Engine
	Restart func() bus.Engine
}

// Run runs the tests of effects. open returns an empty engine with this quota for each
// plugin (0 for the default) and this clock, and closes it when the test ends.
func Run(t *testing.T, open func(t *testing.T, quota int64, now func() time.Time) Engine) {
	tests := []struct {
		name  string
		quota int64
		run   func(*setup)
	}{
		{"writes", 0, writes},
		{"conflicts", 0, conflicts},
		{"refused for a child", 0, refusedForChild},
		{"refused for the quota", 2*(spec.KVEntry+1) + 30, refusedForQuota},
		{"quota and expired keys", 2*(spec.KVEntry+1) + 30, expiredQuota},
		{"repeated", 0, repeated},
		{"repeated after a trim", 0, repeatedAfterTrim},
		{"repeated with a failed attempt", 0, repeatedWithFailure},
		{"of trimmed events", 0, ofTrimmed},
		{"in the order of the call", 0, inOrder},
		{"batches", 0, batches},
		{"fences", 0, fences},
		{"a counter", 0, counter},
		{"model", 2*(spec.KVEntry+1) + 30, model},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &setup{T: t, clock: new(kvtest.Clock)}
			s.Engine = open(t, tt.quota, s.clock.Now)
			if _, err := s.Append(t.Context(), logtest.Numbered(t, "parent", 8)); err != nil {
				t.Fatal(err)
			}
			tt.run(s)
		})
	}
}

// setup is an engine with 8 events.
type setup struct {
	*testing.T
	Engine
	clock *kvtest.Clock
}

// success returns the delivery of an event to the handler h, with effects.
func success(seq uint64, attempts int, e *event.Effects, children ...*event.Event) event.Delivery {
	at := time.Unix(2000+int64(attempts), int64(seq)).UTC()
	return event.Delivery{Handler: "h", Seq: seq, Status: event.StatusOK, Attempts: attempts, At: at, FirstAttempt: at, Result: `1`, Effects: e,
		Children: children}
}

func effects(reads []event.EffectRead, writes ...event.EffectWrite) *event.Effects {
	return &event.Effects{Plugin: "p", Reads: reads, Writes: writes}
}

// read is a key that was read, with its value or, for "-", absent.
func read(key, value string) []event.EffectRead {
	if value == "-" {
		return []event.EffectRead{{Key: key}}
	}
	return []event.EffectRead{{Key: key, Found: true, Sum: sha256.Sum256([]byte(value))}}
}

func set(key, value string) event.EffectWrite {
	return event.EffectWrite{Key: key, Value: []byte(value)}
}

// save saves deliveries and returns the answer.
func (s *setup) save(list ...event.Delivery) event.Saved {
	s.Helper()
	saved, _, err := s.SaveDeliveries(s.Context(), nil, nil, list, nil)
	if err != nil {
		s.Fatalf("SaveDeliveries: %v", err)
	}
	return saved
}

// applied saves deliveries, which must be stored as they are.
func (s *setup) applied(list ...event.Delivery) {
	s.Helper()
	if saved := s.save(list...); len(saved.Refused)+len(saved.Conflicts) > 0 {
		s.Errorf("got %+v", saved)
	}
}

// value checks a key's value, "-" for none, in every way to read it.
func (s *setup) value(key, want string) {
	s.Helper()
	got, found, err := s.KVGet(s.Context(), "p", key)
	if err != nil || found != (want != "-") || found && string(got) != want {
		s.Errorf("%s: got %q, %v, %v, want %q", key, got, found, err, want)
	}
	if got, found, ok := s.KVCached("p", key); ok && (found != (want != "-") || found && string(got) != want) {
		s.Errorf("%s: the cache has %q, %v, want %q", key, got, found, want)
	}
}

// stored checks the delivery of an event to the handler h.
func (s *setup) stored(seq uint64, status event.Status, class event.Class, attempts int) {
	s.Helper()
	list, err := s.Deliveries(s.Context(), seq)
	if err != nil || len(list) != 1 || list[0].Status != status || list[0].ErrorClass != class || list[0].Attempts != attempts {
		s.Errorf("event %d: got %+v, %v, want %s, %q, %d attempts", seq, list, err, status, class, attempts)
	}
}

func writes(s *setup) {
	until := s.clock.Now().Add(time.Minute)
	s.applied(success(1, 1, effects(nil, set("a", "1"), set("empty", ""), event.EffectWrite{Kind: event.EffectSet, Key: "l", Value: []byte("l"), Until: until})))
	s.value("a", "1")
	s.value("empty", "")
	s.applied(success(2, 1, effects(append(read("a", "1"), read("none", "-")...),
		event.EffectWrite{Kind: event.EffectSwap, Key: "l", Value: []byte("swapped")},
		event.EffectWrite{Kind: event.EffectDelete, Key: "a"},
		event.EffectWrite{Kind: event.EffectDelete, Key: "none"},
		event.EffectWrite{Kind: event.EffectExpire, Key: "none", Until: until},
		event.EffectWrite{Kind: event.EffectSwap, Key: "new", Value: []byte("new")},
		event.EffectWrite{Kind: event.EffectExpire, Key: "empty", Until: until})))
	s.value("a", "-")
	s.value("none", "-")
	s.value("l", "swapped")
	s.stored(2, event.StatusOK, "", 1)
	s.clock.Pass(time.Minute)
	s.value("l", "-")
	s.value("empty", "-")
	s.value("new", "new")
	buffer := []byte("mine")
	s.applied(success(3, 1, effects(read("l", "-"), event.EffectWrite{Key: "m", Value: buffer})))
	copy(buffer, "yours")
	s.value("m", "mine")
}

func conflicts(s *setup) {
	ctx := s.Context()
	logtest.WantCode(s.T, "set", s.KVSet(ctx, "p", "a", []byte("1")), "")
	for i, e := range []*event.Effects{
		effects(read("a", "2"), set("b", "x")),
		effects(read("a", "-"), set("b", "x")),
		effects(append(read("a", "1"), read("b", "")...), set("b", "x")),
	} {
		seq := uint64(i + 1)
		child := logtest.Make(s.T, event.Draft{Type: "child", Data: []byte("1"), IdempotencyKey: strconv.Itoa(i)})
		saved := s.save(success(seq, 3, e, child))
		if len(saved.Refused) > 0 || len(saved.Conflicts) != 1 || saved.Conflicts[0].Seq != seq || saved.Conflicts[0].Attempts != 2 || s.Last() != 8 {
			s.Errorf("event %d: got %+v, last %d", seq, saved, s.Last())
		}
		s.stored(seq, event.StatusRetrying, event.ClassKVConflict, 2)
		if past, err := s.Attempts(ctx, seq); err != nil || len(past) > 0 {
			s.Errorf("event %d: got the attempts %+v, %v", seq, past, err)
		}
	}
	s.value("b", "-")
	s.value("a", "1")
	s.applied(success(1, 3, effects(read("a", "1"), set("b", "y"))))
	s.value("b", "y")
	s.stored(1, event.StatusOK, "", 3)
}

func refusedForChild(s *setup) {
	first := logtest.Make(s.T, event.Draft{Type: "child", Data: []byte("1"), IdempotencyKey: "taken"})
	other := logtest.Make(s.T, event.Draft{Type: "child", Data: []byte("2"), IdempotencyKey: "taken"})
	fresh := logtest.Make(s.T, event.Draft{Type: "child", Data: []byte("3"), IdempotencyKey: "fresh"})
	s.applied(success(1, 1, effects(nil, set("a", "1")), first))
	saved := s.save(success(2, 1, effects(read("a", "1"), set("a", "2")), fresh, other), success(3, 1, effects(read("a", "1"), set("b", "3"))))
	if len(saved.Conflicts) > 0 || len(saved.Refused) != 1 || saved.Refused[0].Seq != 2 || s.Last() != 9 {
		s.Errorf("got %+v, last %d", saved, s.Last())
	}
	s.stored(2, event.StatusDead, event.ClassConflict, 1)
	s.value("a", "1")
	s.value("b", "3")
}

func refusedForQuota(s *setup) {
	child := logtest.Make(s.T, event.Draft{Type: "child", Data: []byte("1"), IdempotencyKey: "child"})
	large := strings.Repeat("x", 20)
	s.applied(success(1, 1, effects(nil, set("a", large))))
	saved := s.save(success(2, 1, effects(read("a", large), set("b", large), set("c", "")), child), success(3, 1, effects(nil, set("b", "3"))))
	if len(saved.Conflicts) > 0 || len(saved.Refused) != 1 || saved.Refused[0].ErrorClass != event.ClassKVQuota || s.Last() != 8 {
		s.Errorf("got %+v, last %d", saved, s.Last())
	}
	s.stored(2, event.StatusDead, event.ClassKVQuota, 1)
	s.value("a", large)
	s.value("b", "3")
	s.applied(success(4, 1, effects(nil, set("b", large), event.EffectWrite{Kind: event.EffectDelete, Key: "a"}))) // fits together
	s.value("b", large)
	saved = s.save(success(5, 1, effects(nil, set("c", large)), logtest.Make(s.T, event.Draft{Type: "child", Data: []byte("1"), IdempotencyKey: "c"}),
		logtest.Make(s.T, event.Draft{Type: "child", Data: []byte("2"), IdempotencyKey: "c"})))
	if len(saved.Refused) != 1 || saved.Refused[0].ErrorClass != event.ClassConflict || s.Last() != 8 {
		s.Errorf("over the quota and with a child in conflict: got %+v, last %d", saved, s.Last())
	}
	for _, key := range []string{"", strings.Repeat("k", 257)} {
		if saved := s.save(success(6, 1, effects(nil, set(key, "")))); len(saved.Refused) != 1 {
			s.Errorf("a key of %d bytes: got %+v", len(key), saved)
		}
	}
}

func expiredQuota(s *setup) {
	large := strings.Repeat("x", 15)
	until := s.clock.Now().Add(time.Second)
	s.applied(success(1, 1, effects(nil, event.EffectWrite{Key: "a", Value: []byte(large), Until: until}, event.EffectWrite{Key: "b", Value: []byte(large), Until: until})))
	if saved := s.save(success(2, 1, effects(nil, set("c", large)))); len(saved.Refused) != 1 {
		s.Errorf("got %+v", saved)
	}
	s.clock.Pass(time.Second)
	s.applied(success(3, 1, effects(read("a", "-"), set("a", large), set("c", large))))
	s.value("a", large)
	s.value("b", "-")
	s.value("c", large)
}

// repeated saves deliveries again, as after a write of unknown result: their effects are
// applied once, also when keys have changed since.
func repeated(s *setup) {
	ctx := s.Context()
	for seq, attempts := range []int{1: 1, 2: 2} {
		if seq == 0 {
			continue
		}
		d := success(uint64(seq), attempts, effects(read("n", "-"), set("n", "1")))
		s.applied(d)
		s.value("n", "1")
		s.applied(d)
		logtest.WantCode(s.T, "set", s.KVSet(ctx, "p", "n", []byte("2")), "")
		s.applied(d)
		s.value("n", "2")
		if s.Restart != nil {
			s.Engine.Engine = s.Restart()
			s.applied(d)
			s.value("n", "2")
		}
		s.stored(uint64(seq), event.StatusOK, "", attempts)
		again := d
		again.At = again.At.Add(time.Second) // a replay: another attempt
		if saved := s.save(again); len(saved.Conflicts) != 1 {
			s.Errorf("another attempt: got %+v", saved)
		}
		logtest.WantCode(s.T, "delete", s.KVDelete(ctx, "p", "n"), "")
	}
	refused := success(3, 1, effects(nil, set(strings.Repeat("k", 257), ""))) // what was not applied is evaluated again
	for range 2 {
		if saved := s.save(refused); len(saved.Refused) != 1 {
			s.Errorf("refused: got %+v", saved)
		}
	}
}

func repeatedAfterTrim(s *setup) {
	d := success(1, 1, effects(nil, set("n", "1")))
	s.applied(d)
	if n, err := s.Trim(s.Context(), 2); n != 1 || err != nil {
		s.Fatal(n, err)
	}
	logtest.WantCode(s.T, "set", s.KVSet(s.Context(), "p", "n", []byte("2")), "")
	s.applied(d)
	s.value("n", "2")
}

// repeatedWithFailure repeats a write that has a failed attempt and the success after it.
func repeatedWithFailure(s *setup) {
	d := success(1, 2, effects(read("n", "-"), set("n", "1")))
	failed := event.Delivery{Handler: d.Handler, Seq: d.Seq, Status: event.StatusRetrying, Attempts: 1, At: d.At.Add(-time.Second),
		FirstAttempt: d.At.Add(-time.Second), Due: d.At, ErrorClass: event.ClassTrap}
	d.FirstAttempt = failed.At
	s.applied(failed, d)
	s.value("n", "1")
	s.applied(failed, d)
	logtest.WantCode(s.T, "set", s.KVSet(s.Context(), "p", "n", []byte("2")), "")
	s.applied(failed, d)
	if s.Restart != nil {
		s.Engine.Engine = s.Restart()
		s.applied(failed, d)
	}
	s.value("n", "2")
	s.stored(1, event.StatusOK, "", 2)
}

// ofTrimmed: a delivery of a trimmed event is lost with all it does, its child too; one that is
// in a batch with others takes nothing from them.
func ofTrimmed(s *setup) {
	if n, err := s.Trim(s.Context(), 2); n != 1 || err != nil {
		s.Fatal(n, err)
	}
	child := func(key string) *event.Event {
		return logtest.Make(s.T, event.Draft{Type: "child", Data: []byte("1"), IdempotencyKey: key})
	}
	s.applied(success(1, 1, effects(nil, set("lost", "1")), child("lost")))
	if s.Last() != 8 {
		s.Errorf("the child of a delivery without effects is stored: the log ends at %d", s.Last())
	}
	s.value("lost", "-")
	shared := effects(nil, set("n", "3"))
	s.applied(success(1, 1, shared), success(2, 1, shared, child("second")), success(3, 1, shared))
	s.value("n", "3")
	if s.Last() != 9 {
		s.Errorf("the log ends at %d, want the child of the batch at 9", s.Last())
	}
	s.stored(2, event.StatusOK, "", 1)
	s.stored(3, event.StatusOK, "", 1)
}

// inOrder: a delivery sees the writes of those before it in the call.
func inOrder(s *setup) {
	saved := s.save(success(1, 1, effects(read("n", "-"), set("n", "1"))), success(2, 1, effects(read("n", "1"), set("n", "2"))),
		success(3, 1, effects(read("n", "1"), set("n", "3"))), success(4, 1, effects(read("n", "2"), set("m", "4"))))
	if len(saved.Conflicts) != 1 || saved.Conflicts[0].Seq != 3 {
		s.Errorf("got %+v", saved)
	}
	s.value("n", "2")
	s.value("m", "4")
}

// batches: deliveries that share effects have one fate.
func batches(s *setup) {
	together := func(from uint64, e *event.Effects, children ...*event.Event) (list []event.Delivery) {
		list = append(list, success(from, 1, e), success(from+1, 1, e, children...))
		return list
	}
	first := together(1, effects(read("n", "-"), set("n", "2")))
	s.applied(first...)
	s.applied(first...)
	s.value("n", "2")
	if saved := s.save(together(3, effects(read("n", "1"), set("n", "3")))...); len(saved.Conflicts) != 2 {
		s.Errorf("conflict: got %+v", saved)
	}
	taken := []*event.Event{logtest.Make(s.T, event.Draft{Type: "c", Data: []byte("1"), IdempotencyKey: "c"}),
		logtest.Make(s.T, event.Draft{Type: "c", Data: []byte("2"), IdempotencyKey: "c"})}
	if saved := s.save(together(5, effects(read("n", "2"), set("n", "4")), taken...)...); len(saved.Refused) != 2 || s.Last() != 8 {
		s.Errorf("child: got %+v", saved)
	}
	s.value("n", "2")
	for _, seq := range []uint64{3, 4} {
		s.stored(seq, event.StatusRetrying, event.ClassKVConflict, 0)
	}
	for _, seq := range []uint64{5, 6} {
		s.stored(seq, event.StatusDead, event.ClassConflict, 1)
	}
}

func fences(s *setup) {
	d := success(1, 1, effects(nil, set("n", "1")))
	_, fenced, err := s.SaveDeliveries(s.Context(), []spec.Fence{{Unit: "h", Epoch: 7}}, nil, []event.Delivery{d}, nil)
	if err != nil || len(fenced) != 1 {
		s.Errorf("got %v, %v", fenced, err)
	}
	s.value("n", "-")
}

// counter counts in one key, by atomic deliveries and by direct writes at once: each adds
// one, and no value is seen that a later one contradicts.
func counter(s *setup) {
	const each = 30
	ctx := s.Context()
	var wg sync.WaitGroup
	count := func(add func(old []byte, next string) (done bool)) {
		for i := 0; i < each; {
			old, found, ok := s.KVCached("p", "n")
			if !ok {
				var err error
				if old, found, err = s.KVGet(ctx, "p", "n"); err != nil {
					s.Error(err)
					return
				}
			}
			n := 0
			if found {
				n, _ = strconv.Atoi(string(old))
			}
			if add(old, strconv.Itoa(n+1)) {
				i++
			}
		}
	}
	for w := range 4 {
		seq, attempt := uint64(w+1), 0
		wg.Go(func() {
			count(func(old []byte, next string) bool {
				was := string(old)
				if old == nil {
					was = "-"
				}
				attempt++
				d := success(seq, 1, effects(read("n", was), set("n", next)))
				d.At = d.At.Add(time.Duration(attempt) * time.Second)
				saved, _, err := s.SaveDeliveries(ctx, nil, nil, []event.Delivery{d}, nil)
				if err != nil || len(saved.Refused) > 0 {
					s.Errorf("got %+v, %v", saved, err)
					return true
				}
				return len(saved.Conflicts) == 0
			})
		})
		wg.Go(func() {
			count(func(old []byte, next string) bool {
				err := s.KVCAS(ctx, "p", "n", old, []byte(next))
				if err != nil && !fault.Is(err, fault.Conflict) {
					s.Error(err)
				}
				return err == nil || !fault.Is(err, fault.Conflict)
			})
		})
	}
	wg.Wait()
	s.value("n", strconv.Itoa(8*each))
}
