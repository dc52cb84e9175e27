package breaker

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// clock is a time that a test sets.
type clock struct{ now time.Time }

func (c *clock) pass(d time.Duration) { c.now = c.now.Add(d) }

func newBreaker(failures int) (*Breaker, *clock) {
	b := &Breaker{}
	b.Configure(spec.BreakerPolicy{Failures: failures, Cooldown: time.Second, MaxCooldown: 5 * time.Second})
	return b, &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

func trip(b *Breaker, c *clock, n int) {
	for i := range n {
		b.Complete(uint64(i+1), event.ClassTrap, "unreachable", c.now)
	}
}

func TestBreakerOpens(t *testing.T) {
	type step struct {
		seq   uint64
		class event.Class
	}
	bad := func(seqs ...uint64) (list []step) {
		for _, seq := range seqs {
			list = append(list, step{seq, event.ClassTrap})
		}
		return list
	}
	tests := []struct {
		name     string
		failures int
		steps    []step
		want     bool
	}{
		{"three of three", 3, bad(1, 2, 3), true},
		{"two of three", 3, bad(1, 2), false},
		{"one event alone", 3, bad(1, 1, 1, 1, 1, 1), false},
		{"one event, and then another", 3, bad(1, 1, 1, 1, 2), true},
		{"an ok between", 3, append(append(bad(1, 2), step{3, ""}), bad(4, 5)...), false},
		{"a retry said by the guest between", 3, append(append(bad(1, 2), step{3, event.ClassRetry}), bad(4, 5)...), false},
		{"a reject said by the guest between", 3, append(append(bad(1, 2), step{3, event.ClassRejected}), bad(4, 5)...), false},
		{"a bad result between", 3, append(append(bad(1, 2), step{3, event.ClassBadResult}), bad(4, 5)...), false},
		{"several is forgotten with the failures", 2, append(append(bad(1), step{3, ""}), bad(2, 2, 2)...), false},
		{"guest's words only", 2, []step{{1, event.ClassRetry}, {2, event.ClassRejected}, {3, event.ClassRetry}}, false},
		{"every class", 5, []step{{1, event.ClassTrap}, {2, event.ClassTimeout}, {3, event.ClassFuel}, {4, event.ClassMemory}, {5, event.ClassExit}}, true},
		{"no breaker", 0, bad(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, c := newBreaker(tt.failures)
			opened := false
			for _, s := range tt.steps {
				opened = b.Complete(s.seq, s.class, "", c.now) || opened
			}
			if b.open != tt.want || opened != tt.want {
				t.Errorf("open %v, reported %v; want %v", b.open, opened, tt.want)
			}
		})
	}
}

func TestBreakerProbes(t *testing.T) {
	b, c := newBreaker(2)
	trip(b, c, 2)
	// 1s, doubling, 5s at most.
	for i, want := range []time.Duration{1, 2, 4, 5, 5} {
		want *= time.Second
		if got := b.Waits(c.now); got != want {
			t.Fatalf("round %d: waits %v, want %v", i, got, want)
		}
		c.pass(want - 1)
		if b.Waits(c.now) == 0 {
			t.Fatalf("round %d: may start a nanosecond early", i)
		}
		c.pass(1)
		if b.Waits(c.now) != 0 {
			t.Fatalf("round %d: may not start", i)
		}
		b.Start(100)
		if b.Complete(7, "", "", c.now) {
			t.Fatal("an attempt from before it opened closed it")
		}
		if b.Complete(8, event.ClassTrap, "", c.now) || b.probe != 100 {
			t.Fatal("an attempt from before it opened changed it")
		}
		if !b.Complete(100, event.ClassTimeout, "too slow", c.now) || !b.open {
			t.Fatalf("round %d: a failed probe did not reopen it", i)
		}
	}
	if want := "7 attempts in a row failed, the last with timeout: too slow; one event is tried again at 2026-01-02T03:04:27Z"; b.reason != want {
		t.Errorf("got  %s\nwant %s", b.reason, want)
	}
	c.pass(5 * time.Second)
	b.Start(101)
	b.Cancel(101)
	if b.probe != 0 || b.Waits(c.now) != 0 {
		t.Error("a probe that the host cancelled does not start again at once")
	}
	b.Start(102)
	if !b.Complete(102, event.ClassRejected, "no", c.now) || b.open {
		t.Error("an answer of the guest did not close it")
	}
	trip(b, c, 2)
	if got := b.Waits(c.now); got != time.Second {
		t.Errorf("opened again it waits %v, want 1s", got)
	}
}

func TestProbeNowEndsCooldown(t *testing.T) {
	b, c := newBreaker(2)
	b.ProbeNow(c.now) // closed: nothing
	trip(b, c, 2)
	c.pass(time.Second)
	b.Start(3)
	b.Complete(3, event.ClassTrap, "", c.now)
	b.ProbeNow(c.now)
	if b.Waits(c.now) != 0 {
		t.Fatal("it still waits")
	}
	if _, reason := b.Reason(); !strings.HasSuffix(reason, "failed, the last with trap: ; the next event is tried immediately") {
		t.Errorf("the reason is %q", reason)
	}
	b.Start(4)
	b.ProbeNow(c.now) // a new version starts while the old one has the probe
	b.Complete(4, event.ClassTrap, "", c.now)
	if b.Waits(c.now) != 0 {
		t.Fatal("it still waits, although probeNow was called during the probe")
	}
	b.Start(5)
	b.Complete(5, event.ClassTrap, "", c.now)
	if got := b.Waits(c.now); got != time.Second {
		t.Errorf("waits %v, want the first cooldown", got)
	}
	b.Configure(spec.BreakerPolicy{})
	if b.open || b.Waits(c.now) != 0 {
		t.Error("a removed breaker is open")
	}
}

// TestBreakerAgainstAModel: it opens exactly after enough failures.
func TestBreakerAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		failures := rapid.IntRange(1, 5).Draw(t, "failures")
		b, c := newBreaker(failures)
		var failed []uint64 // the failed events in a row
		for range rapid.IntRange(1, 60).Draw(t, "attempts") {
			c.pass(time.Duration(rapid.Int64Range(0, int64(6*time.Second)).Draw(t, "time")))
			seq := rapid.Uint64Range(1, 3).Draw(t, "seq")
			if b.Waits(c.now) > 0 {
				continue
			}
			class := rapid.SampledFrom([]event.Class{"", event.ClassTrap, event.ClassFuel, event.ClassRetry, event.ClassCancelled}).Draw(t, "class")
			b.Start(seq)
			switch {
			case class == event.ClassCancelled:
				b.Cancel(seq)
				continue
			case CountsAgainst(class):
				failed = append(failed, seq)
			default:
				failed = nil
			}
			b.Complete(seq, class, "", c.now)
			different := false
			for _, s := range failed {
				different = different || s != failed[0]
			}
			if want := different && len(failed) >= failures; b.open != want {
				t.Fatalf("open %v after %v failed in a row, of %d", b.open, failed, failures)
			}
			if b.open && (b.Waits(c.now) < time.Second || b.Waits(c.now) > 5*time.Second) {
				t.Fatalf("it waits %v", b.Waits(c.now))
			}
		}
	})
}
