package remote_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-host/berth/host/api/incident"
	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/member/remote"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// host notes what it is asked to do. Its handler mail runs, or is on standby; tax is not open.
type host struct {
	remote.Handlers
	incident.Issues
	expired atomic.Int32
	mu      sync.Mutex // of done
	done    []string
	standby atomic.Bool
	open    atomic.Bool // of tax
	err     error
}

func (h *host) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.done = append(h.done, fmt.Sprintf(format, args...))
}

func (h *host) IsOpen(handler string) bool { return handler == "mail" || h.open.Load() }
func (h *host) Runs(handler string) bool   { return handler == "mail" && !h.standby.Load() }

func (h *host) Replay(_ context.Context, handler string, from, to uint64) error {
	h.note("replay %s %d %d", handler, from, to)
	return h.err
}

func (h *host) Requeue(_ context.Context, handler string, seqs []uint64) (int, error) {
	h.note("requeue %s %v", handler, seqs)
	return len(seqs), h.err
}

func (h *host) RetryNow(_ context.Context, handler string, seqs []uint64) (int, error) {
	h.note("retry %s %v", handler, seqs)
	return len(seqs), h.err
}

func (h *host) SkipEvent(_ context.Context, handler string, seq uint64) error {
	h.note("skip %s %d", handler, seq)
	return h.err
}

func (h *host) Redrive(_ context.Context, f event.DeadFilter) (int, error) {
	h.note("redrive %+v", f)
	return 2, h.err
}

func (h *host) Purge(_ context.Context, f event.DeadFilter) (int, error) {
	h.note("purge %+v", f)
	return 3, h.err
}

// DeadLetters has those of mail and tax for every event.
func (h *host) DeadLetters(_ context.Context, f event.DeadFilter, _ string, _ int) ([]event.DeadLetter, string, error) {
	if f.Handler == "other" {
		return nil, "", nil
	}
	return make([]event.DeadLetter, 1), "", nil
}

func (h *host) dead(context.Context) (map[string]uint64, error) {
	return map[string]uint64{"mail": 4, "other": 1, "tax": 1}, nil
}

func (h *host) Forget(_ context.Context, plugin string) error {
	h.note("forget %s", plugin)
	return h.err
}

// forgetting is a host as what keeps the state of plugins.
type forgetting struct{ *host }

func (f forgetting) Purge(_ context.Context, plugin string) error {
	f.note("purge state of %s", plugin)
	return f.err
}

// Has has something of every plugin.
func (f forgetting) Has(context.Context, string) (forgettable, purgeable bool, err error) {
	return true, true, f.err
}

// Expire implements remote.View.
func (h *host) Expire() { h.expired.Add(1) }

// shownOperations are the operations of a host.
type shownOperations struct {
	incident.Operations
	*atomic.Int32
}

func (s shownOperations) Expire() { s.Add(1) }

func (h *host) Show(id string) (wire.Issue, error) { return wire.Issue{ID: id, Handler: "mail"}, h.err }

func (h *host) incidents() remote.Incidents {
	return remote.Incidents{Runs: h.Runs,
		ChangeIssue: func(_ context.Context, id string, to wire.IssueState, by, note string) (wire.Issue, error) {
			h.note("issue %s %s %s %s", id, to, by, note)
			return wire.Issue{ID: id, State: to}, h.err
		},
		StartOperation: func(_ context.Context, in wire.NewOperation, by string) (wire.Operation, error) {
			h.note("start %s %s", in.Kind, by)
			return wire.Operation{ID: "7"}, h.err
		},
		CancelOperation: func(_ context.Context, id string) (wire.Operation, error) {
			h.note("cancel %s", id)
			return wire.Operation{ID: id}, h.err
		},
		Own:     func(_ context.Context, f spec.Fence) error { h.note("own %s", f.Unit); return nil },
		Release: func(_ context.Context, handler string) error { h.note("release %s", handler); return nil },
	}
}

// oneUnit is the units of handlers without shards.
type oneUnit struct{}

func (oneUnit) Units(_ context.Context, plugin string) ([]string, error) {
	return []string{plugin}, nil
}

func (oneUnit) Running(_ context.Context, plugin string) ([]string, error) {
	return []string{plugin}, nil
}

func (oneUnit) Divide(_ context.Context, plugin string, seqs []uint64) (map[string][]uint64, error) {
	return map[string][]uint64{plugin: seqs}, nil
}

// way leads to a host, which carries out all commands.
type way struct {
	methods map[string]cluster.Method
	gone    atomic.Bool // the host has mail no more
	mu      sync.Mutex  // of asked
	asked   []string
}

func (w *way) Do(ctx context.Context, unit, method string, body []byte) ([]byte, error) {
	w.mu.Lock()
	w.asked = append(w.asked, unit+" "+method)
	w.mu.Unlock()
	return w.methods[method](ctx, unit, body)
}

// HostsWith reports that a host has mail, for as long as it does.
func (w *way) HostsWith(plugin string) []string {
	if plugin == "mail" && !w.gone.Load() {
		return []string{"b"}
	}
	return nil
}

// setup returns the actions of a host that runs nothing, and the other host, which runs all.
func setup() (*remote.Actions, remote.Way, *host, *way) {
	other, here, to := &host{}, &host{err: errors.New("it acted here")}, &way{methods: make(map[string]cluster.Method)}
	way := remote.Way{Shared: true, Joined: func() remote.Caller { return to }}
	there := remote.NewActions(way, other, oneUnit{}, other.dead)
	maps.Copy(to.methods, there.Methods())
	maps.Copy(to.methods, remote.NewState(way, forgetting{other}, oneUnit{}, other.IsOpen).Methods())
	maps.Copy(to.methods, other.incidents().Methods())
	return remote.NewActions(way, here, oneUnit{}, here.dead), way, other, to
}

func TestOwnerCarriesOut(t *testing.T) {
	a, way, other, _ := setup()
	ctx := t.Context()
	state := remote.NewState(way, forgetting{&host{}}, oneUnit{}, func(string) bool { return true })
	shown := &host{}
	issues := remote.NewIssues(way, shown, (&host{}).incidents())
	operations := remote.NewOperations(way, shownOperations{nil, &shown.expired}, (&host{}).incidents())
	number := func(n int, err error) string { return fmt.Sprint(n, err) }
	for _, tt := range []struct {
		what string
		got  string
		want string
		done []string
	}{
		{"replay", number(0, a.Replay(ctx, "mail", 3, 9)), "0 <nil>", []string{"replay mail 3 9"}},
		{"requeue", number(a.Requeue(ctx, "mail", []uint64{3, 4})), "2 <nil>", []string{"requeue mail [3 4]"}},
		{"retry", number(a.RetryNow(ctx, "mail", []uint64{3})), "1 <nil>", []string{"retry mail [3]"}},
		{"skip", number(0, a.SkipEvent(ctx, "mail", 5)), "0 <nil>", []string{"skip mail 5"}},
		{"redrive", number(a.Redrive(ctx, event.DeadFilter{Handler: "mail", Type: "t"})), "2 <nil>", []string{fmt.Sprintf("redrive %+v", event.DeadFilter{Handler: "mail", OneUnit: true, Type: "t"})}},
		{"purge of all", number(a.Purge(ctx, event.DeadFilter{EventID: "e"})), "6 <nil>",
			[]string{fmt.Sprintf("purge %+v", event.DeadFilter{Handler: "mail", OneUnit: true, EventID: "e"}), fmt.Sprintf("purge %+v", event.DeadFilter{Handler: "tax", OneUnit: true, EventID: "e"})}},
		{"forget", number(0, state.Forget(ctx, "tax")), "0 <nil>", []string{"forget tax"}},
		{"purge of the state", number(0, state.Purge(ctx, "tax")), "0 <nil>", []string{"purge state of tax"}},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.what, tt.got, tt.want)
		}
		n := len(tt.done)
		slices.Sort(other.done[:min(n, len(other.done))])
		if len(other.done) < n || !reflect.DeepEqual(other.done[:n], tt.done) {
			t.Errorf("%s: got %q, want %q", tt.what, other.done, tt.done)
		} else {
			other.done = other.done[n:]
		}
	}
	issue, err := issues.Change(ctx, "9", wire.IssueResolved, "ann", "done")
	if err != nil || issue.State != wire.IssueResolved {
		t.Errorf("got %+v, %v", issue, err)
	}
	for _, f := range []func() (wire.Operation, error){
		func() (wire.Operation, error) { return operations.Start(ctx, wire.NewOperation{Kind: "retry"}, "ann") },
		func() (wire.Operation, error) { return operations.Cancel(ctx, "7") },
	} {
		if o, err := f(); err != nil || o.ID != "7" {
			t.Errorf("got %+v, %v", o, err)
		}
	}
	if want := []string{"issue 9 resolved ann done", "start retry ann", "cancel 7"}; !reflect.DeepEqual(other.done, want) {
		t.Errorf("got %q", other.done)
	}
	if n := shown.expired.Load(); n != 3 {
		t.Errorf("the views were expired %d times", n)
	}
}

func TestErrorOfTheOwnerIsTheAnswer(t *testing.T) {
	a, _, other, _ := setup()
	other.err = fault.New(fault.NotFound, "no position")
	if err := a.Replay(t.Context(), "mail", 1, 2); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
	if n, err := a.Redrive(t.Context(), event.DeadFilter{EventID: "e"}); n != 0 || !fault.Is(err, fault.NotFound) {
		t.Errorf("got %d, %v", n, err)
	}
}

func TestHostAloneActsItself(t *testing.T) {
	h := &host{}
	alone := remote.Way{}
	a := remote.NewActions(alone, h, oneUnit{}, h.dead)
	if n, err := a.Redrive(t.Context(), event.DeadFilter{EventID: "e"}); n != 2 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if n, err := a.Purge(t.Context(), event.DeadFilter{}); n != 3 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if err := remote.NewState(alone, forgetting{h}, oneUnit{}, h.IsOpen).Forget(t.Context(), "mail"); err != nil {
		t.Error(err)
	}
	if _, err := remote.NewIssues(alone, h, h.incidents()).Change(t.Context(), "9", wire.IssueIgnored, "", ""); err != nil || len(h.done) != 4 {
		t.Errorf("got %v, %q", err, h.done)
	}
}

func TestHostThatHasNotJoined(t *testing.T) {
	h := &host{}
	a := remote.NewActions(remote.Way{Shared: true, Joined: func() remote.Caller { return nil }}, h, oneUnit{}, h.dead)
	if _, err := a.RetryNow(t.Context(), "mail", nil); !fault.Is(err, fault.Unavailable) || len(h.done) > 0 {
		t.Errorf("got %v, %q", err, h.done)
	}
}

// A command that comes while the handler starts or stops waits for that; one that would act on a
// handler that another host is to run is left to that host.
func TestCommandWaitsForTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, way, other, to := setup()
		other.standby.Store(true)
		timer := time.AfterFunc(time.Second, func() { other.standby.Store(false) })
		if err := a.Replay(t.Context(), "mail", 1, 2); err != nil || timer.Stop() {
			t.Errorf("got %v, and it did not wait", err)
		}
		other.standby.Store(true)
		other.done = nil
		if err := a.Replay(t.Context(), "mail", 1, 2); !errors.Is(err, spec.ErrFenced) || len(other.done) > 0 {
			t.Errorf("got %v, %q", err, other.done)
		}
		other.open.Store(true)
		timer = time.AfterFunc(time.Second, func() { other.open.Store(false) })
		state := remote.NewState(way, forgetting{other}, oneUnit{}, other.IsOpen)
		if err := state.Forget(t.Context(), "tax"); err != nil || timer.Stop() {
			t.Errorf("got %v, and it did not wait", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := a.Replay(ctx, "mail", 1, 2); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if _, err := to.methods["replay"](t.Context(), "mail", []byte("x")); !fault.Is(err, fault.Invalid) && !errors.Is(err, spec.ErrFenced) {
			t.Errorf("got %v", err)
		}
	})
}

// An issue of a handler that no host runs is kept by the host that has taken the handler for it.
func TestIssueOfAHandlerThatNoHostRuns(t *testing.T) {
	_, _, other, to := setup()
	body := []byte(`{"ID":"9","To":"ignored","By":"ann","Note":""}`)
	if _, err := to.methods["change-issue"](spec.WithFence(t.Context(), spec.Fence{Unit: "tax", Epoch: 4}), "tax", body); err != nil {
		t.Fatal(err)
	}
	if want := []string{"own tax", "issue 9 ignored ann ", "release tax"}; !reflect.DeepEqual(other.done, want) {
		t.Errorf("got %q", other.done)
	}
}

// TestStateOfAPluginThatAHostHasIsNotLeft: what another host has is no leftover.
func TestStateOfAPluginThatAHostHasIsNotLeft(t *testing.T) {
	_, way, other, _ := setup()
	s := remote.NewState(way, forgetting{other}, oneUnit{}, other.IsOpen)
	for plugin, want := range map[string]bool{"mail": false, "gone": true} {
		if forgettable, purgeable, err := s.Has(t.Context(), plugin); forgettable != want || purgeable != want || err != nil {
			t.Errorf("%s: got %v, %v, %v", plugin, forgettable, purgeable, err)
		}
	}
	if hosts, err := s.Elsewhere(t.Context(), "gone"); len(hosts) > 0 || err != nil {
		t.Errorf("got %v, %v", hosts, err)
	}
	alone := remote.NewState(remote.Way{}, forgetting{other}, oneUnit{}, other.IsOpen)
	if hosts, err := alone.Elsewhere(t.Context(), "mail"); len(hosts) > 0 || err != nil {
		t.Errorf("without other hosts: got %v, %v", hosts, err)
	}
	if forgettable, _, err := alone.Has(t.Context(), "mail"); !forgettable || err != nil {
		t.Errorf("without other hosts: got %v, %v", forgettable, err)
	}
}

// TestStateOfAPluginThatAHostHasIsKept: nothing of it is removed, and the hosts are named. What a host
// has had a moment ago is no longer there when it says so.
func TestStateOfAPluginThatAHostHasIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, way, other, to := setup()
		s := remote.NewState(way, forgetting{other}, oneUnit{}, other.IsOpen)
		if hosts, err := s.Elsewhere(t.Context(), "mail"); !slices.Equal(hosts, []string{"b"}) || err != nil {
			t.Errorf("got %v, %v", hosts, err)
		}
		for what, remove := range map[string]func(context.Context, string) error{"forget": s.Forget, "purge": s.Purge} {
			if err := remove(t.Context(), "mail"); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "b has it") || len(other.done) > 0 {
				t.Errorf("%s: got %v, %q", what, err, other.done)
			}
		}
		maps.Copy(to.methods, remote.NewState(way, forgetting{other}, oneUnit{}, func(string) bool { return false }).Methods())
		time.AfterFunc(time.Second, func() { to.gone.Store(true) })
		if hosts, err := s.Elsewhere(t.Context(), "mail"); len(hosts) > 0 || err != nil {
			t.Errorf("got %v, %v", hosts, err)
		}
		if err := s.Forget(t.Context(), "mail"); err != nil || len(other.done) == 0 || other.done[0] != "forget mail" {
			t.Errorf("got %v, %q", err, other.done)
		}
		unjoined := remote.NewState(remote.Way{Shared: true, Joined: func() remote.Caller { return nil }}, forgetting{other}, oneUnit{}, other.IsOpen)
		if _, err := unjoined.Elsewhere(t.Context(), "mail"); !fault.Is(err, fault.Unavailable) {
			t.Errorf("got %v", err)
		}
	})
}
