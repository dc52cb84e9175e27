package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

func TestMain(m *testing.M) {
	// One processor makes the simulation follow its seed more closely. And Go 1.26 crashes in
	// the race detector when two goroutines of a bubble find expired timers at one moment.
	runtime.GOMAXPROCS(1)
	goleak.VerifyTestMain(m)
}

// inWorld runs a test in virtual time.
func inWorld(t *testing.T, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 7)
		defer w.close()
		test(t, w)
	})
}

func TestHostsThatStartTogetherShareTheUnits(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		units := unitNames(10)
		for i := range 3 {
			w.add(fmt.Sprint("host", i), units)
			w.run(time.Second)
		}
		w.await(15*time.Second, "evenly spread", func() bool {
			loads := w.loads()
			return len(loads) == 3 && min(loads["host0"], loads["host1"], loads["host2"]) >= 4
		})
		before := w.owners()
		w.run(time.Minute)
		if after := w.owners(); !maps.Equal(before, after) {
			t.Errorf("units have moved without a cause: %v, then %v", before, after)
		}
		if c := w.counted(); c.refused+c.cancelled > 0 {
			t.Errorf("got %+v: the hand-overs have cut attempts off", c)
		}
	})
}

// TestNewUnitsAreSpreadAtOnce: hosts that have run for long learn of new shards one after the other.
func TestNewUnitsAreSpreadAtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.add("a", []string{"mail"}), w.add("b", []string{"mail"})
		w.run(time.Minute)
		units := append(spec.Units("enrich", 8), "mail")
		slices.Sort(units)
		a.setUnits(units)
		w.await(10*time.Second, "all run on a", func() bool { return w.loads()["a"] >= 8 })
		b.setUnits(units)
		w.await(10*time.Second, "evenly spread", func() bool { return min(w.loads()["a"], w.loads()["b"]) >= 4 })
	})
}

func TestHostHoldsWhatItHasTaken(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		units := unitNames(8)
		a, _ := w.add("a", units), w.add("b", units)
		w.run(20 * time.Second)
		a.cluster.SetDraining(true)
		w.await(3*time.Second, "all run on b", func() bool { return w.loads()["b"] == len(units) })
		before := w.loads()["b"]
		a.cluster.SetDraining(false)
		w.run(20 * time.Second)
		if n := w.loads()["b"]; n < 9 { // two of them it had before
			t.Errorf("b has %d units after 20 s, before %d: it must hold for 30 s what it has taken", n, before)
		}
		w.await(30*time.Second, "evenly spread", func() bool { return w.loads()["a"] >= 5 })
	})
}

func TestTakeoverFromKilledHost(t *testing.T) {
	for seed := range uint64(9) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed)
			defer w.close()
			units := unitNames(4)
			hosts := []*simHost{w.add("a", units), w.add("b", units), w.add("c", units)}
			w.await(10*time.Second, "every unit runs", w.allOwned(units))
			w.run(12*time.Second + time.Duration(seed)*37*time.Millisecond)
			hosts[seed%3].kill()
			if took := w.await(5*time.Second, "every unit runs", w.allOwned(units)); took > 4500*time.Millisecond || took < time.Second {
				t.Errorf("the takeover took %v", took)
			}
		})
	}
}

// otherClock is a ledger whose database has another clock than this host.
type otherClock struct {
	cluster.Ledger
	behind time.Duration
}

func (l otherClock) Beat(ctx context.Context, m spec.Beating) (spec.ClusterView, error) {
	v, err := l.Ledger.Beat(ctx, m)
	v.Now = v.Now.Add(-l.behind)
	return v, err
}

func TestNowIsTheClockOfTheDatabase(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		h := w.add("a", unitNames(1), func(_ *simHost, cfg *cluster.Config) { cfg.Ledger = otherClock{cfg.Ledger, time.Hour} })
		w.run(2 * time.Second)
		if ahead := time.Since(h.cluster.Now()); (ahead - time.Hour).Abs() > 20*time.Millisecond {
			t.Errorf("the host's clock is %v ahead of Now, want 1h0m0s", ahead)
		}
	})
}

// A host says that it is cut off when its lease has ended by that, not when it was stopped itself, nor
// while the database refuses its renewals.
func TestCutOffHostSaysSo(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var said []bool
		h := w.add("a", unitNames(1), func(h *simHost, cfg *cluster.Config) {
			cfg.CutOff = func(cutOff bool) {
				h.mu.Lock()
				defer h.mu.Unlock()
				said = append(said, cutOff)
			}
		})
		expect := func(when string, want ...bool) {
			t.Helper()
			w.mu.Lock()
			defer w.mu.Unlock()
			if !slices.Equal(said, want) {
				t.Errorf("%s: got %v, want %v", when, said, want)
			}
		}
		set := func(flag *bool, to bool) {
			w.mu.Lock()
			defer w.mu.Unlock()
			*flag = to
		}
		cut := func(on bool) { set(&h.cut, on) }
		w.run(5 * time.Second)
		h.pause()
		w.run(10 * time.Second)
		h.resume()
		w.run(2 * time.Second)
		expect("after it was stopped")
		set(&h.refused, true)
		w.run(10 * time.Second)
		expect("while it is refused")
		if err := h.cluster.Ready(); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "refuses") || !strings.Contains(err.Error(), "row of this host is locked") {
			t.Errorf("Ready: got %v, want the refusal", err)
		}
		set(&h.refused, false)
		w.run(2 * time.Second)
		cut(true)
		w.run(2 * time.Second)
		expect("while the lease lasts")
		w.run(1200 * time.Millisecond)
		expect("after the lease", true)
		set(&h.refused, true)
		cut(false)
		w.run(4 * time.Second)
		expect("when it is refused", true, false)
		set(&h.refused, false)
		w.run(4 * time.Second)
		expect("when it is renewed", true, false)
	})
}

func TestDrainedHostGivesAllAwayWithoutGap(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		units := unitNames(6)
		a, b := w.add("a", units), w.add("b", units)
		w.run(15 * time.Second)
		if n := w.loads()["a"]; n < 3 {
			t.Fatalf("a has %d units", n)
		}
		a.cluster.SetDraining(true)
		took := w.await(2*time.Second, "all run on b", func() bool {
			w.mu.Lock()
			for _, u := range units {
				if m, found := a.cluster.Owner(u); found && m.ID == a.id && a.running[u] == nil {
					t.Errorf("a says that it runs %s, which it has stopped", u)
				}
			}
			w.mu.Unlock()
			return w.loads()["b"] == len(units)
		})
		if took > time.Second {
			t.Errorf("draining took %v", took)
		}
		if s := a.cluster.Stats(); s.Owned != 0 || s.Losses != 0 || s.Gives < 3 {
			t.Errorf("the drained host: %+v", s)
		}
		a.cluster.SetDraining(false)
		w.await(time.Minute, "evenly spread", func() bool { return w.loads()["a"] >= 4 })
		b.graceful = true
		b.stop()
		<-b.ended
		if b.err != nil {
			t.Errorf("Run: %v", b.err)
		}
		w.await(time.Second, "all run on a", func() bool { return w.loads()["a"] == len(units) })
		if members := a.cluster.View().Members; len(members) != 1 {
			t.Errorf("got members %+v after one has left", members)
		} else if age := members[0].Age; age < 0 || age >= cluster.LeaseFor {
			t.Errorf("the newest renewal of this host is %v old", age)
		}
		if c := w.counted(); c.refused+c.cancelled > 0 {
			t.Errorf("got %+v: draining has cut attempts off", c)
		}
	})
}

func TestPluginOfALiveHost(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.add("a", nil)
		b := w.add("b", []string{"mail"}, func(h *simHost, cfg *cluster.Config) {
			cfg.Member = func() spec.Member {
				return spec.Member{ID: h.id, Name: h.name, URL: "http://" + h.id, Modules: map[string]string{"mail": "5e"}, Inactive: []string{"tax"}}
			}
		})
		w.run(3 * time.Second)
		for name, want := range map[string][]string{"mail": {"b"}, "tax": {"b"}, "gone": nil} {
			if got := a.cluster.HostsWith(name); !slices.Equal(got, want) {
				t.Errorf("%s: got %v", name, got)
			}
		}
		if got := b.cluster.HostsWith("mail"); len(got) > 0 {
			t.Errorf("on the host itself: got %v", got)
		}
		b.kill()
		w.run(5 * time.Second)
		if len(a.cluster.HostsWith("mail")) > 0 || len(a.cluster.HostsWith("tax")) > 0 {
			t.Error("a host that has ended still has its plugins")
		}
	})
}

func TestHostThatIsCutOffFencesItself(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		units := unitNames(2)
		a := w.add("a", units)
		w.await(3*time.Second, "every unit runs", w.allOwned(units))
		w.run(5 * time.Second)
		if err := a.cluster.Ready(); err != nil {
			t.Errorf("Ready: %v", err)
		}
		w.mu.Lock()
		a.cut = true
		w.mu.Unlock()
		took := w.await(cluster.BeginFor, "no attempt may begin", func() bool { return len(w.owners()) == 0 })
		if took < cluster.BeginFor-cluster.BeatEvery-100*time.Millisecond {
			t.Errorf("no attempt may begin after %v", took)
		}
		stopped := w.await(cluster.LeaseFor, "the units are stopped", func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return len(a.running) == 0
		})
		if took+stopped > cluster.LeaseFor+100*time.Millisecond {
			t.Errorf("the units are stopped after %v", took+stopped)
		}
		w.run(time.Second)
		first := a.cluster.Ready()
		if !fault.Is(first, fault.Unavailable) || !strings.Contains(first.Error(), "cut off") {
			t.Errorf("Ready: got %v, want cut off", first)
		}
		w.run(time.Minute)
		if err := a.cluster.Ready(); err == nil || err.Error() != first.Error() { // a probe logs what has changed
			t.Errorf("Ready: got %v, then %v", first, err)
		}
		w.mu.Lock()
		a.cut = false
		w.mu.Unlock()
		w.await(2*time.Second, "every unit runs", w.allOwned(units)) // in the next epoch
		if u := w.ledger.Unit("mail"); u.Epoch < 2 {
			t.Errorf("after a lost lease: %+v", u)
		}
	})
}

// TestOutageOfTheDatabaseCausesNoTakeover holds that no host takes units of another because the
// database answered to none of them.
func TestOutageOfTheDatabaseCausesNoTakeover(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		units := unitNames(6)
		a, b := w.add("a", units), w.add("b", units)
		w.run(15 * time.Second)
		before := w.owners()
		for _, outage := range []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, time.Minute} {
			w.mu.Lock()
			w.down = true
			w.mu.Unlock()
			w.run(outage)
			w.mu.Lock()
			w.down = false
			w.mu.Unlock()
			w.await(4*time.Second, "every unit runs", w.allOwned(units))
			if after := w.owners(); !maps.Equal(before, after) {
				t.Errorf("after %v: %v, before %v", outage, after, before)
			}
		}
		if n := a.cluster.Stats().Expired + b.cluster.Stats().Expired; n != 0 {
			t.Errorf("%d leases were ended by others", n)
		}
	})
}

func TestTwoHostsOfOneName(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		units := unitNames(2)
		a := w.add("same", units)
		w.await(3*time.Second, "every unit runs", w.allOwned(units))
		b := w.add("same", units)
		<-b.ended
		if !fault.Is(b.err, fault.Conflict) || !strings.Contains(b.err.Error(), `"same"`) || !strings.Contains(b.err.Error(), a.id) {
			t.Errorf("the second: got %v, want a conflict that names the first", b.err)
		}
		if err := b.cluster.Ready(); !errors.Is(b.err, err) {
			t.Errorf("Ready: got %v", err)
		}
		w.run(5 * time.Second)
		if s := a.cluster.Stats(); s.Losses != 0 || s.Owned != len(units) {
			t.Errorf("the first host: %+v", s)
		}
		// A host that was killed and started again is no second one.
		a.kill()
		c := w.add("same", units)
		w.await(5*time.Second, "every unit runs", w.allOwned(units))
		if err := c.cluster.Ready(); err != nil {
			t.Errorf("Ready: %v", err)
		}
	})
}

func TestJobRunsOnOneHostAndIsStartedAgain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		running, starts := make(map[string]bool), 0
		job := func(h *simHost, cfg *cluster.Config) {
			cfg.Jobs = map[string]func(context.Context) error{":retention": func(ctx context.Context) error {
				w.mu.Lock()
				starts++
				fail := starts%3 == 0
				f, ok := spec.FenceOf(ctx)
				if !ok || f != (spec.Fence{Unit: ":retention", Epoch: w.ledger.Unit(":retention").Epoch}) {
					t.Errorf("the job has the fence %+v", f)
				}
				running[h.name] = true
				if len(running) > 1 {
					t.Errorf("the job runs on %v", running)
				}
				w.mu.Unlock()
				if !fail {
					<-ctx.Done()
				}
				w.mu.Lock()
				defer w.mu.Unlock()
				delete(running, h.name)
				return errors.New("it failed")
			}}
		}
		a, b := w.add("a", nil, job), w.add("b", nil, job)
		runs := func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return len(running) == 1
		}
		for i := range 8 {
			w.await(5*time.Second, "the job runs", runs)
			a.cluster.SetDraining(i%2 == 0)
			b.cluster.SetDraining(i%2 == 1)
			w.run(2 * time.Second)
		}
		if starts < 3 {
			t.Errorf("the job was started %d times", starts)
		}
	})
}

// TestUnitThatCannotStart holds that another host gets a unit whose start fails here.
func TestUnitThatCannotStart(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		broken := true
		w.add("a", []string{"mail"}, func(h *simHost, cfg *cluster.Config) { cfg.Worker = brokenWorker{h, &broken} })
		w.run(3 * time.Second)
		if n := w.ledger.Unit("mail").Epoch; n < 2 || n > 4 {
			t.Errorf("the start was tried %d times in 3 s", n)
		}
		w.add("b", []string{"mail"})
		w.await(10*time.Second, "b runs it", func() bool { return w.owners()["mail"] == "b" })
	})
}

type brokenWorker struct {
	*simHost
	broken *bool
}

func (b brokenWorker) Own(context.Context, string, *cluster.Tenure) error {
	return fault.New(fault.Unavailable, "the backlog cannot be read")
}

// TestUnitThatIsNotToRunNow holds that a host which refuses a unit for now tries it again soon, however
// often it has refused it.
func TestUnitThatIsNotToRunNow(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var allowed atomic.Bool
		w.add("a", []string{"mail"}, func(h *simHost, cfg *cluster.Config) { cfg.Worker = refusingWorker{h, &allowed} })
		w.run(20 * time.Second)
		allowed.Store(true)
		w.await(3*time.Second, "a runs it", func() bool { return w.owners()["mail"] == "a" })
	})
}

type refusingWorker struct {
	*simHost
	allowed *atomic.Bool
}

func (r refusingWorker) Own(ctx context.Context, unit string, t *cluster.Tenure) error {
	if !r.allowed.Load() {
		return fault.New(fault.Conflict, "its shards are being changed")
	}
	return r.simHost.Own(ctx, unit, t)
}

func TestBootTimeRuns(t *testing.T) {
	a := cluster.BootTime()
	if b := cluster.BootTime(); a <= 0 || b < a {
		t.Errorf("got %v, then %v", a, b)
	}
}
