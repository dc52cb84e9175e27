package remote_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/member/remote"
	"github.com/berth-host/berth/host/spec"
)

// shards has the handler enrich with two shards, and before that with one, and mail with one. Every
// event with an odd Seq is of enrich/1.
type shards struct {
	host
	changing bool // no unit may run
	t        *testing.T
	units    map[string][]string        // present ones, by plugin
	dead     map[string]map[uint64]bool // Seqs of dead letters, by unit
	events   map[uint64]*event.Event
	fails    map[string]error            // of Replay, Requeue and RetryNow, by unit
	waits    map[string][]event.Delivery // for a retry
	absent   map[uint64]bool             // RetryNow does nothing for these events
	// failsRequeueOnly: of fails, RetryNow works.
	failsRequeueOnly bool
}

func newShards(t *testing.T) (*remote.Actions, *shards, *way) {
	s := &shards{t: t, units: map[string][]string{"enrich": spec.Units("enrich", 2), "mail": {"mail"}}, dead: make(map[string]map[uint64]bool), events: make(map[uint64]*event.Event),
		fails: make(map[string]error), waits: make(map[string][]event.Delivery)}
	to := &way{methods: make(map[string]cluster.Method)}
	there := remote.Way{Shared: true, Joined: func() remote.Caller { return to }}
	a := remote.NewActions(there, s, s, s.count)
	maps.Copy(to.methods, a.Methods())
	maps.Copy(to.methods, remote.NewState(there, unitState{&s.host}, s, s.IsOpen).Methods())
	return a, s, to
}

func (s *shards) IsOpen(string) bool { return false }

func (s *shards) Units(_ context.Context, plugin string) ([]string, error) {
	return s.units[plugin], nil
}

func (s *shards) running(ctx context.Context, plugin string) ([]string, error) {
	if s.changing {
		return nil, fault.New(fault.Unavailable, "the shards are being changed")
	}
	return s.Units(ctx, plugin)
}

func (s *shards) Running(ctx context.Context, plugin string) ([]string, error) {
	return s.running(ctx, plugin)
}

func (s *shards) Divide(_ context.Context, plugin string, seqs []uint64) (map[string][]uint64, error) {
	units := s.units[plugin]
	parts := make(map[string][]uint64)
	for _, seq := range seqs {
		unit := units[int(seq)%len(units)]
		parts[unit] = append(parts[unit], seq)
	}
	return parts, nil
}

func (s *shards) die(unit string, seqs ...uint64) {
	s.dead[unit] = make(map[uint64]bool)
	for _, seq := range seqs {
		s.dead[unit][seq] = true
	}
}

func (s *shards) count(context.Context) (map[string]uint64, error) {
	counts := make(map[string]uint64)
	for unit, seqs := range s.dead {
		if len(seqs) > 0 {
			counts[unit] = uint64(len(seqs))
		}
	}
	return counts, nil
}

// DeadLetters has two on a page.
func (s *shards) DeadLetters(_ context.Context, f event.DeadFilter, cursor string, limit int) (list []event.DeadLetter, next string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	after, err := event.ParseDeadPosition(cursor)
	for unit, seqs := range s.dead {
		for seq := range seqs {
			ev := s.events[seq]
			if ev == nil {
				ev = logtest.Make(s.t, event.Draft{IdempotencyKey: fmt.Sprint("e", seq), Data: []byte(`{}`)})
				s.events[seq] = ev
			}
			d := event.Delivery{Handler: unit, Seq: seq, Status: event.StatusDead, At: time.Unix(int64(seq), 0)}.DeadLetter(ev)
			if at := d.Position(); f.Selects(d) && (cursor == "" || after.Before(at)) {
				list = append(list, d)
			}
		}
	}
	slices.SortFunc(list, func(x, y event.DeadLetter) int {
		return cmp.Or(cmp.Compare(y.Seq, x.Seq), cmp.Compare(y.Handler, x.Handler))
	})
	if limit = min(limit, 2); len(list) > limit {
		list = list[:limit]
		next = list[limit-1].Position().String()
	}
	return list, next, err
}

func (s *shards) Purge(_ context.Context, f event.DeadFilter) (n int, err error) {
	for more := true; more; {
		list, _, err := s.DeadLetters(context.Background(), f, "", 2)
		if err != nil {
			return n, err
		}
		s.mu.Lock()
		for _, d := range list {
			delete(s.dead[d.Handler], d.Seq)
			n++
		}
		s.mu.Unlock()
		more = len(list) > 0
	}
	s.note("purge %s %d", f.Handler, n)
	return n, nil
}

func (s *shards) Redrive(_ context.Context, f event.DeadFilter) (int, error) {
	s.note("redrive %s", f.Handler)
	return len(s.dead[f.Handler]), nil
}

func (s *shards) Requeue(ctx context.Context, unit string, seqs []uint64) (int, error) {
	if err := s.fails[unit]; err != nil {
		return 0, err
	}
	return s.host.Requeue(ctx, unit, seqs)
}

// RetryNow does nothing for an event of the ends of hundreds.
func (s *shards) RetryNow(ctx context.Context, unit string, seqs []uint64) (int, error) {
	if err := s.fails[unit]; err != nil && !s.failsRequeueOnly {
		return 0, err
	}
	n, err := s.host.RetryNow(ctx, unit, seqs)
	for _, seq := range seqs {
		if seq%100 == 0 || s.absent[seq] {
			n--
		}
	}
	return n, err
}

func (s *shards) Replay(ctx context.Context, unit string, from, to uint64) error {
	if err := s.fails[unit]; err != nil {
		return err
	}
	return s.host.Replay(ctx, unit, from, to)
}

func (s *shards) Retrying(_ context.Context, unit string, after uint64, limit int) (list []event.Delivery, err error) {
	for _, d := range s.waits[unit] {
		if d.Seq > after && len(list) < limit {
			list = append(list, d)
		}
	}
	return list, nil
}

func (s *shards) want(want ...string) {
	s.t.Helper()
	slices.Sort(s.done)
	if !slices.Equal(s.done, want) {
		s.t.Errorf("got %q, want %q", s.done, want)
	}
	s.done = nil
}

func TestActionOnAPluginIsForAllShards(t *testing.T) {
	a, s, _ := newShards(t)
	ctx := t.Context()
	if err := a.Replay(ctx, "enrich", 3, 9); err != nil {
		t.Error(err)
	}
	s.want("replay enrich/0 3 9", "replay enrich/1 3 9")
	if n, err := a.Requeue(ctx, "enrich", []uint64{1, 2, 3}); n != 3 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	s.want("requeue enrich/0 [2]", "requeue enrich/1 [1 3]")
	if n, err := a.RetryNow(ctx, "enrich", []uint64{5}); n != 1 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	s.want("retry enrich/1 [5]")
	if err := a.SkipEvent(ctx, "enrich", 4); err != nil {
		t.Error(err)
	}
	s.want("skip enrich/0 4")
	if err := a.Replay(ctx, "enrich/1", 3, 9); err != nil {
		t.Error(err)
	}
	s.want("replay enrich/1 3 9")
	if n, err := a.Redrive(ctx, event.DeadFilter{Handler: "mail"}); n != 0 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	s.want("redrive mail")
}

func TestErrorNamesTheShardsThatFailed(t *testing.T) {
	a, s, _ := newShards(t)
	s.fails["enrich/1"] = fault.New(fault.Conflict, "a replay is being started")
	err := a.Replay(t.Context(), "enrich", 3, 9)
	if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "1 of 2") || !strings.Contains(err.Error(), "enrich/1") {
		t.Errorf("got %v", err)
	}
	if units := event.FailedUnits(err, "enrich"); !slices.Equal(units, []string{"enrich/1"}) {
		t.Errorf("got %q", units)
	}
	s.want("replay enrich/0 3 9")
}

// TestErrorHasTheEventsThatFailed: a caller repeats the action for these alone.
func TestErrorHasTheEventsThatFailed(t *testing.T) {
	a, s, _ := newShards(t)
	s.fails["enrich/1"] = fault.New(fault.Unavailable, "no host runs it now")
	seqs := []uint64{1, 2, 3, 4}
	n, err := a.Requeue(t.Context(), "enrich", seqs)
	if failed := event.FailedSeqs(err, seqs); n != 2 || !fault.Is(err, fault.Unavailable) || !slices.Equal(failed, []uint64{1, 3}) {
		t.Errorf("got %d, %v, %v", n, failed, err)
	}
	n, err = a.RetryNow(t.Context(), "enrich", seqs)
	if failed := event.FailedSeqs(err, seqs); n != 2 || !fault.Is(err, fault.Unavailable) || !slices.Equal(failed, []uint64{1, 3}) {
		t.Errorf("got %d, %v, %v", n, failed, err)
	}
	s.want("requeue enrich/0 [2 4]", "retry enrich/0 [2 4]")

	// Event 100 may be a dead letter of a unit that is no more, which comes after the others.
	_, err = a.RetryNow(t.Context(), "enrich", []uint64{1, 2, 100})
	if failed := event.FailedSeqs(err, nil); !slices.Equal(failed, []uint64{1, 2, 100}) {
		t.Errorf("got %v, %v", failed, err)
	}
	s.want("retry enrich/0 [2 100]")
}

// TestRevivedPartly: dead letters of a former unit end when their present units have the events.
func TestRevivedPartly(t *testing.T) {
	a, s, _ := newShards(t)
	s.die("enrich/7", 100, 300, 301)
	s.absent = map[uint64]bool{301: true}
	s.fails["enrich/1"] = fault.New(fault.Unavailable, "no host runs it now")
	s.failsRequeueOnly = true
	seqs := []uint64{100, 300, 301}
	n, err := a.RetryNow(t.Context(), "enrich", seqs)
	if failed := event.FailedSeqs(err, seqs); n != 2 || !fault.Is(err, fault.Unavailable) || !slices.Equal(failed, []uint64{301}) {
		t.Errorf("got %d, %v, %v", n, failed, err)
	}
	s.want("purge enrich/7 1", "purge enrich/7 1", "requeue enrich/0 [300 100]", "retry enrich/0 [100 300]", "retry enrich/1 [301]")
}

// TestRedriveOfAUnitThatIsNoMore: the dead letters of earlier shards go to the present ones.
func TestRedriveOfAUnitThatIsNoMore(t *testing.T) {
	a, s, to := newShards(t)
	ctx := t.Context()
	s.die("enrich", 1, 2, 3)
	s.die("enrich/0", 4)
	s.die("mail", 9)
	if n, err := a.Redrive(ctx, event.DeadFilter{Handler: "enrich"}); n != 4 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	s.want("purge enrich 3", "redrive enrich/0", "redrive enrich/1", "requeue enrich/0 [2]", "requeue enrich/1 [1]", "requeue enrich/1 [3]")
	if !slices.Contains(to.asked, "enrich purge") {
		t.Errorf("the unit was not taken for it: %q", to.asked)
	}
	s.die("enrich/7", 100, 101, 102, 105)
	if n, err := a.RetryNow(ctx, "enrich", []uint64{100, 101, 102}); n != 2+3 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	s.want("purge enrich/7 1", "purge enrich/7 1", "purge enrich/7 1", "requeue enrich/0 [102 100]", "requeue enrich/1 [101]",
		"retry enrich/0 [100 102]", "retry enrich/1 [101]")
	if n, err := a.Redrive(ctx, event.DeadFilter{Until: time.Unix(200, 0)}); n != 1+1+1 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	s.want("purge enrich/7 1", "redrive enrich/0", "redrive mail", "requeue enrich/1 [105]")
	s.die("enrich/7", 7)
	if n, err := a.Purge(ctx, event.DeadFilter{Handler: "enrich"}); n != 1+1 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	s.want("purge enrich/0 1", "purge enrich/1 0", "purge enrich/7 1")
}

// TestCommandForAUnitThatIsNoMore: a command that was sent before the shards changed does nothing.
func TestCommandForAUnitThatIsNoMore(t *testing.T) {
	a, s, _ := newShards(t)
	s.units["mail"] = spec.Units("mail", 2)
	for name, do := range map[string]string{"requeue": "[1]", "retry": "[1]", "skip": "1", "replay": `{"From":1,"To":2}`, "redrive": "{}"} {
		if _, err := a.Methods()[name](t.Context(), "mail", []byte(do)); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	s.want()
}

// TestActionsWhileShardsChange: none waits for a handler that no host is to run, and the dead letters of
// former units can be purged.
func TestActionsWhileShardsChange(t *testing.T) {
	a, s, to := newShards(t)
	s.changing = true
	if err := a.Replay(t.Context(), "enrich", 1, 2); !fault.Is(err, fault.Unavailable) || len(to.asked) > 0 {
		t.Errorf("got %v, %q", err, to.asked)
	}
	if _, err := a.Methods()["replay"](t.Context(), "enrich/0", []byte(`{"From":1,"To":2}`)); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	s.die("enrich", 7)
	if n, err := a.Purge(t.Context(), event.DeadFilter{Handler: "enrich"}); n != 1 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	s.want("purge enrich 1", "purge enrich/0 0", "purge enrich/1 0")
}

func TestRetriesOfAllShards(t *testing.T) {
	a, s, _ := newShards(t)
	s.waits["enrich/0"] = []event.Delivery{{Handler: "enrich/0", Seq: 2}, {Handler: "enrich/0", Seq: 8}}
	s.waits["enrich/1"] = []event.Delivery{{Handler: "enrich/1", Seq: 1}, {Handler: "enrich/1", Seq: 5}, {Handler: "enrich/1", Seq: 9}}
	list, err := a.Retrying(t.Context(), "enrich", 1, 3)
	var seqs []uint64
	for _, d := range list {
		seqs = append(seqs, d.Seq)
	}
	if want := []uint64{2, 5, 8}; err != nil || !reflect.DeepEqual(seqs, want) {
		t.Errorf("got %v, %v; want %v", seqs, err, want)
	}
}

// unitState is a host as what keeps the state of plugins.
type unitState struct{ *host }

func (u unitState) Purge(_ context.Context, plugin string) error {
	u.note("purge state of %s", plugin)
	return u.err
}

func (u unitState) Has(context.Context, string) (bool, bool, error) { return false, false, nil }

// TestStateOfAllShardsIsForgotten: of the present shards by their owners, of all that were before here.
func TestStateOfAllShardsIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s, to := newShards(t)
		state := remote.NewState(remote.Way{Shared: true, Joined: func() remote.Caller { return to }}, unitState{&s.host}, s, s.IsOpen)
		if err := state.Purge(t.Context(), "enrich"); err != nil {
			t.Fatal(err)
		}
		s.want("purge state of enrich", "purge state of enrich")
		if err := state.Forget(t.Context(), "enrich"); err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, unit := range spec.EveryUnit("enrich") {
			all = append(all, "forget "+unit)
		}
		slices.Sort(all)
		s.want(all...)
		slices.Sort(to.asked)
		if want := []string{"enrich/0 forget", "enrich/0 purge-state", "enrich/1 forget", "enrich/1 purge-state"}; !slices.Equal(to.asked, want) {
			t.Errorf("got %q, want %q", to.asked, want)
		}
		s.err = errors.New("the database is gone")
		if err := state.Forget(t.Context(), "enrich"); !errors.Is(err, s.err) {
			t.Errorf("got %v", err)
		}
	})
}
