// Package ledgertest states in tests what a cluster.Ledger guarantees, and has one in memory.
package ledgertest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// Run tests a ledger. open returns the ledger of two hosts, which is empty.
func Run(t *testing.T, open func(t *testing.T) (a, b cluster.Ledger)) {
	for name, test := range map[string]func(*testing.T, setup){
		"a beat shows all members and units":         beatShowsAll,
		"a late beat moves no number back":           lateBeat,
		"a take needs the unit as seen":              takeAsSeen,
		"a take needs a member and a free unit":      takeByMember,
		"of concurrent takes one wins":               concurrentTakes,
		"a unit is given away in its epoch only":     give,
		"who leaves has no units":                    leave,
		"a member expires only if its beat is still": expire,
		"a beat races with its expiry":               beatAgainstExpire,
		"two of one name join at one moment":         join,
		"a command is asked and answered once":       commands,
		"commands of several units come in order":    commandOrder,
		"other hosts wake":                           wake,
		"a context that has ended":                   ended,
	} {
		t.Run(name, func(t *testing.T) {
			a, b := open(t)
			test(t, setup{t.Context(), a, b})
		})
	}
}

type setup struct {
	ctx  context.Context
	a, b cluster.Ledger
}

// member is a host's row with every field set.
func member(id string, beat uint64) spec.Beating {
	return spec.Beating{Beat: beat, Member: spec.Member{
		ID: id, Name: "host-" + id, URL: "http://127.0.0.1:1/" + id, Version: "v1", Settings: "ab12",
		Modules: map[string]string{"enrich": "cd34"}, Units: []string{"enrich/0", ":jobs"},
		StartedAt: time.Unix(1700000000, 5).UTC(), ClockOffset: -3 * time.Millisecond, Watched: true,
	}}
}

func (s setup) beat(t *testing.T, l cluster.Ledger, id string, beat uint64) spec.ClusterView {
	t.Helper()
	v, err := l.Beat(s.ctx, member(id, beat))
	if err != nil {
		t.Fatalf("beat %d of %s: %v", beat, id, err)
	}
	return v
}

// join has pairs of members of one name join at one moment: one at least of each sees the other.
func join(t *testing.T, s setup) {
	for round := range 40 {
		name := fmt.Sprint("twin", round)
		var views [2]spec.ClusterView
		var errs [2]error
		var both sync.WaitGroup
		start := make(chan struct{})
		for i, l := range []cluster.Ledger{s.a, s.b} {
			both.Go(func() {
				m := member(fmt.Sprint(name, "-", i), 1)
				m.Name, m.Joining = name, true
				<-start
				views[i], errs[i] = l.Beat(s.ctx, m)
			})
		}
		close(start)
		both.Wait()
		seen := 0
		for i, v := range views {
			if errs[i] != nil {
				t.Fatal(errs[i])
			}
			for _, m := range v.Members {
				if m.ID == fmt.Sprint(name, "-", 1-i) {
					seen++
				}
			}
		}
		if seen == 0 {
			t.Fatalf("round %d: neither of the two sees the other", round)
		}
	}
}

func (s setup) take(t *testing.T, l cluster.Ledger, unit string, seen spec.Unit, owner string, want uint64) spec.Fence {
	t.Helper()
	epoch, err := l.Take(s.ctx, unit, seen, owner)
	if err != nil || epoch != want {
		t.Fatalf("take %s for %s: got epoch %d, %v; want %d", unit, owner, epoch, err, want)
	}
	return spec.Fence{Unit: unit, Epoch: epoch}
}

func wantUnits(t *testing.T, v spec.ClusterView, want ...spec.Unit) {
	t.Helper()
	if !slices.Equal(v.Units, want) {
		t.Errorf("got units %+v, want %+v", v.Units, want)
	}
}

func ids(v spec.ClusterView) (list []string) {
	for _, m := range v.Members {
		list = append(list, fmt.Sprint(m.ID, m.Beat))
	}
	return list
}

func wantMembers(t *testing.T, v spec.ClusterView, want ...string) {
	t.Helper()
	if got := ids(v); !slices.Equal(got, want) {
		t.Errorf("got members %v, want %v", got, want)
	}
}

func beatShowsAll(t *testing.T, s setup) {
	v := s.beat(t, s.a, "x", 1)
	wantMembers(t, v, "x1")
	wantUnits(t, v)
	if v.Now.IsZero() {
		t.Error("the view has no time")
	}
	s.take(t, s.a, "one", spec.Unit{}, "x", 1)
	v = s.beat(t, s.b, "a", 7)
	wantMembers(t, v, "a7", "x1")
	wantUnits(t, v, spec.Unit{Name: "one", Owner: "x", Epoch: 1})
	got := v.Members[1]
	got.StartedAt = got.StartedAt.UTC()
	if want := member("x", 1); !reflect.DeepEqual(got, want) {
		t.Errorf("got member %+v, want %+v", got, want)
	}
	changed := member("x", 2)
	changed.Draining, changed.Modules, changed.Units = true, nil, nil
	if _, err := s.a.Beat(s.ctx, changed); err != nil {
		t.Fatal(err)
	}
	if got := s.beat(t, s.b, "a", 8).Members[1]; !got.Draining || len(got.Modules) != 0 || len(got.Units) != 0 {
		t.Errorf("got member %+v after its change", got)
	}
}

func lateBeat(t *testing.T, s setup) {
	s.beat(t, s.a, "x", 5)
	late := member("x", 4)
	late.URL = "late"
	v, err := s.a.Beat(s.ctx, late)
	if err != nil {
		t.Fatal(err)
	}
	wantMembers(t, v, "x5")
	if v.Members[0].URL == "late" {
		t.Error("a late beat has changed the member")
	}
	// After it has left, any beat makes it a member again.
	if err := s.a.Leave(s.ctx, "x"); err != nil {
		t.Fatal(err)
	}
	wantMembers(t, s.beat(t, s.a, "x", 2), "x2")
}

func takeAsSeen(t *testing.T, s setup) {
	s.beat(t, s.a, "x", 1)
	s.beat(t, s.b, "y", 1)
	f := s.take(t, s.a, "one", spec.Unit{}, "x", 1)
	if err := s.a.Give(s.ctx, f); err != nil {
		t.Fatal(err)
	}
	for _, seen := range []spec.Unit{
		{},
		{Name: "one", Owner: "x", Epoch: 1},
		{Name: "one", Owner: "y", Epoch: 1},
		{Name: "one", Epoch: 2},
	} {
		if epoch, err := s.b.Take(s.ctx, "one", seen, "y"); !fault.Is(err, fault.Conflict) {
			t.Errorf("seen as %+v: got epoch %d, %v; want a conflict", seen, epoch, err)
		}
	}
	s.take(t, s.b, "one", spec.Unit{Name: "one", Epoch: 1}, "y", 2)
	// A host takes its own unit again when it does not know whether it has it.
	s.take(t, s.b, "one", spec.Unit{Name: "one", Owner: "y", Epoch: 2}, "y", 3)
}

func takeByMember(t *testing.T, s setup) {
	s.beat(t, s.a, "x", 1)
	s.beat(t, s.b, "y", 1)
	if _, err := s.a.Take(s.ctx, "one", spec.Unit{}, "z"); !fault.Is(err, fault.Conflict) {
		t.Errorf("a take by no member: got %v, want a conflict", err)
	}
	s.take(t, s.a, "one", spec.Unit{}, "x", 1)
	if _, err := s.b.Take(s.ctx, "one", spec.Unit{Name: "one", Owner: "x", Epoch: 1}, "y"); !fault.Is(err, fault.Conflict) {
		t.Errorf("a take from a live owner: got %v, want a conflict", err)
	}
}

func concurrentTakes(t *testing.T, s setup) {
	s.beat(t, s.a, "x", 1)
	s.beat(t, s.b, "y", 1)
	next := spec.Unit{}
	for round := range 10 {
		seen := next
		var won []string
		var mu sync.Mutex
		free := seen
		var all sync.WaitGroup
		for i := range 8 {
			l, owner := s.a, "x"
			if i%2 == 1 {
				l, owner = s.b, "y"
			}
			all.Go(func() {
				epoch, err := l.Take(s.ctx, "one", free, owner)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won = append(won, owner)
					next = spec.Unit{Name: "one", Epoch: epoch}
				} else if !fault.Is(err, fault.Conflict) {
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		all.Wait()
		if len(won) != 1 {
			t.Fatalf("round %d: %v have the unit", round, won)
		}
		if err := s.a.Give(s.ctx, spec.Fence{Unit: "one", Epoch: next.Epoch}); err != nil {
			t.Fatal(err)
		}
	}
}

func give(t *testing.T, s setup) {
	s.beat(t, s.a, "x", 1)
	f := s.take(t, s.a, "one", spec.Unit{}, "x", 1)
	for range 2 { // the second is a repetition after an unknown outcome
		if err := s.a.Give(s.ctx, f); err != nil {
			t.Fatal(err)
		}
	}
	wantUnits(t, s.beat(t, s.a, "x", 2), spec.Unit{Name: "one", Epoch: 1})
	s.beat(t, s.b, "y", 1)
	s.take(t, s.b, "one", spec.Unit{Name: "one", Epoch: 1}, "y", 2)
	if err := s.a.Give(s.ctx, f); !errors.Is(err, spec.ErrFenced) {
		t.Errorf("give in an earlier epoch: got %v, want ErrFenced", err)
	}
	wantUnits(t, s.beat(t, s.a, "x", 3), spec.Unit{Name: "one", Owner: "y", Epoch: 2})
}

func leave(t *testing.T, s setup) {
	s.beat(t, s.a, "x", 1)
	s.beat(t, s.b, "y", 1)
	s.take(t, s.a, "one", spec.Unit{}, "x", 1)
	s.take(t, s.b, "two", spec.Unit{}, "y", 1)
	for range 2 {
		if err := s.a.Leave(s.ctx, "x"); err != nil {
			t.Fatal(err)
		}
	}
	v := s.beat(t, s.b, "y", 2)
	wantMembers(t, v, "y2")
	wantUnits(t, v, spec.Unit{Name: "one", Epoch: 1}, spec.Unit{Name: "two", Owner: "y", Epoch: 1})
}

func expire(t *testing.T, s setup) {
	s.beat(t, s.a, "x", 1)
	s.beat(t, s.b, "y", 1)
	s.take(t, s.a, "one", spec.Unit{}, "x", 1)
	s.beat(t, s.a, "x", 2)
	stale := []spec.Beating{{Member: spec.Member{ID: "x"}, Beat: 1}, {Member: spec.Member{ID: "unknown"}, Beat: 1}}
	if err := s.b.Expire(s.ctx, stale); err != nil {
		t.Fatal(err)
	}
	v := s.beat(t, s.b, "y", 2)
	wantMembers(t, v, "x2", "y2")
	wantUnits(t, v, spec.Unit{Name: "one", Owner: "x", Epoch: 1})
	stale[0].Beat = 2
	if err := s.b.Expire(s.ctx, stale); err != nil {
		t.Fatal(err)
	}
	v = s.beat(t, s.b, "y", 3)
	wantMembers(t, v, "y3")
	wantUnits(t, v, spec.Unit{Name: "one", Epoch: 1})
	// The host returns without its units.
	v = s.beat(t, s.a, "x", 3)
	wantMembers(t, v, "x3", "y3")
	wantUnits(t, v, spec.Unit{Name: "one", Epoch: 1})
}

// beatAgainstExpire holds that of a renewal and the end of the lease one comes first: a host whose
// renewal shows its unit as its own has not been expired.
func beatAgainstExpire(t *testing.T, s setup) {
	s.beat(t, s.b, "y", 1)
	seen := spec.Unit{}
	for round := range uint64(25) {
		s.beat(t, s.a, "x", 2*round+1)
		epoch, err := s.a.Take(s.ctx, "one", seen, "x")
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		var v spec.ClusterView
		var beat, expired error
		all.Go(func() { v, beat = s.a.Beat(s.ctx, member("x", 2*round+2)) })
		all.Go(func() {
			expired = s.b.Expire(s.ctx, []spec.Beating{{Member: spec.Member{ID: "x"}, Beat: 2*round + 1}})
		})
		all.Wait()
		if err := errors.Join(beat, expired); err != nil {
			t.Fatal(err)
		}
		mine := spec.Unit{Name: "one", Owner: "x", Epoch: epoch}
		after := s.beat(t, s.b, "y", round+2).Units
		if slices.Contains(v.Units, mine) != slices.Contains(after, mine) {
			t.Fatalf("round %d: the renewal shows %+v, later the unit is %+v", round, v.Units, after)
		}
		if err := s.a.Give(s.ctx, spec.Fence{Unit: "one", Epoch: epoch}); err != nil {
			t.Fatal(err)
		}
		seen = spec.Unit{Name: "one", Epoch: epoch}
	}
}

func commands(t *testing.T, s setup) {
	cmd := spec.ClusterCommand{ID: "7f1c2d5e-0000-4000-8000-000000000001", Unit: "one", Method: "redrive", Body: []byte("{ \"a\": 1 }")}
	for range 2 {
		if err := s.a.Ask(s.ctx, cmd); err != nil {
			t.Fatal(err)
		}
	}
	asked := func(units ...string) []spec.ClusterCommand {
		t.Helper()
		list, err := s.b.Asked(s.ctx, units)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	if got := asked("one", "other"); len(got) != 1 || !reflect.DeepEqual(got[0], cmd) {
		t.Fatalf("got commands %+v, want %+v once", got, cmd)
	}
	if got := asked("other"); len(got) != 0 {
		t.Errorf("got commands %+v of another unit", got)
	}
	if got := asked(); len(got) != 0 {
		t.Errorf("got commands %+v of no unit", got)
	}
	if _, _, done, err := s.a.Answered(s.ctx, cmd.ID); done || err != nil {
		t.Errorf("before the answer: got %t, %v", done, err)
	}
	answer := []byte(" [ 1]")
	for i, failure := range []string{"", "late"} {
		if err := s.b.Answer(s.ctx, cmd.ID, answer[i:], failure); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		body, failure, done, err := s.a.Answered(s.ctx, cmd.ID)
		if string(body) != string(answer) || failure != "" || !done || err != nil {
			t.Errorf("got the answer %q, %q, %t, %v; want the first one, as often as it is read", body, failure, done, err)
		}
	}
	if got := asked("one"); len(got) != 0 {
		t.Errorf("got commands %+v after the answer", got)
	}
	cmd.ID = strings.Replace(cmd.ID, "1", "2", 1)
	if err := errors.Join(s.a.Ask(s.ctx, cmd), s.b.Answer(s.ctx, cmd.ID, nil, "refused"), s.b.Answer(s.ctx, "unknown", nil, "")); err != nil {
		t.Fatal(err)
	}
	if body, failure, done, err := s.a.Answered(s.ctx, cmd.ID); len(body) != 0 || failure != "refused" || !done || err != nil {
		t.Errorf("got the answer %q, %q, %t, %v; want the failure", body, failure, done, err)
	}
}

func commandOrder(t *testing.T, s setup) {
	var want []string
	for i := range 6 {
		cmd := spec.ClusterCommand{ID: fmt.Sprint("id-", (i*5)%6), Unit: []string{"one", "two", "three"}[i%3], Method: "m", Body: []byte("{}")}
		if err := s.a.Ask(s.ctx, cmd); err != nil {
			t.Fatal(err)
		}
		if i%3 < 2 {
			want = append(want, cmd.ID)
		}
	}
	list, err := s.b.Asked(s.ctx, []string{"two", "one"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range list {
		got = append(got, c.ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got commands %v, want %v", got, want)
	}
}

func wake(t *testing.T, s setup) {
	if s.a.Wake() == nil {
		return // this ledger is polled
	}
	s.beat(t, s.a, "x", 1)
	s.beat(t, s.b, "y", 1)
	f := s.take(t, s.b, "one", spec.Unit{}, "y", 1)
	steps := map[string]func() error{
		"give": func() error { return s.b.Give(s.ctx, f) },
		"ask": func() error {
			return s.b.Ask(s.ctx, spec.ClusterCommand{ID: "c", Unit: "one", Method: "m", Body: []byte("{}")})
		},
		"answer": func() error { return s.b.Answer(s.ctx, "c", []byte("{}"), "") },
		"leave":  func() error { return s.b.Leave(s.ctx, "y") },
	}
	for _, name := range []string{"give", "ask", "answer", "leave"} {
		if err := steps[name](); err != nil {
			t.Fatal(err)
		}
		select {
		case <-s.a.Wake():
		case <-time.After(20 * time.Second):
			t.Fatalf("%s has not woken the other host", name)
		}
	}
}

func ended(t *testing.T, s setup) {
	s.beat(t, s.a, "x", 1)
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	_, beat := s.a.Beat(ctx, member("x", 2))
	_, take := s.a.Take(ctx, "one", spec.Unit{}, "x")
	_, asked := s.a.Asked(ctx, []string{"one"})
	_, _, _, answered := s.a.Answered(ctx, "c")
	for name, err := range map[string]error{
		"Beat": beat, "Take": take, "Asked": asked, "Answered": answered,
		"Leave": s.a.Leave(ctx, "x"), "Give": s.a.Give(ctx, spec.Fence{Unit: "one"}),
		"Expire": s.a.Expire(ctx, []spec.Beating{member("x", 1)}),
		"Ask":    s.a.Ask(ctx, spec.ClusterCommand{ID: "c", Unit: "one"}), "Answer": s.a.Answer(ctx, "c", nil, ""),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want an error of the context", name, err)
		}
	}
	v := s.beat(t, s.a, "x", 3)
	wantMembers(t, v, "x3")
	wantUnits(t, v)
}
