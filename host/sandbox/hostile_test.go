package sandbox_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/testdata/hostile"
)

const (
	hostileTimeout = 100 * time.Millisecond
	// hang is what no neighbour may wait, on however loaded a machine. What it
	// really waits is in the log.
	hang = 2 * time.Second
)

// TestHostile runs every hostile module beside a healthy one.
func TestHostile(t *testing.T) {
	n := newNeighbour(t)
	for _, c := range hostile.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			begun := time.Now()
			n.during(func() { misbehave(t, c) })
			if worst := n.worst(); worst > hang {
				t.Errorf("a neighbour waited %v for its answer", worst)
			} else {
				t.Logf("%v; a neighbour waited %v at most", time.Since(begun).Round(time.Millisecond), worst.Round(10*time.Microsecond))
			}
		})
	}
	t.Log(n.report())
}

// TestNeighbourOfManySpinners runs more computing instances than there are processors. The
// host's work goes through several goroutines: each would wait for a processor if the
// instances kept theirs.
func TestNeighbourOfManySpinners(t *testing.T) {
	const spinners = 8
	n := newNeighbour(t)
	_, q := start(t, load(t, hostile.Named("spin_after_next").Wasm), sandbox.PoolConfig{Limits: spec.Limits{Concurrency: spinners, Timeout: time.Second}})
	n.during(func() {
		for range spinners {
			q.push(attempt(t, 1, `{}`))
		}
		for range spinners {
			if d := q.await(t); d.outcome.Class != event.ClassTimeout {
				t.Errorf("%q: %s", d.outcome.Class, d.outcome.Message)
			}
		}
	})
	t.Log(n.report())
	if worst := n.worst(); worst > hang {
		t.Errorf("a neighbour waited %v for its answer", worst)
	}
}

// misbehave runs a case from its load to its end and checks the errors and outcomes.
func misbehave(t *testing.T, c hostile.Case) {
	t.Helper()
	engine := newEngine(t, 0)
	m, err := engine.Load(t.Context(), spec.NewArtifact(c.Wasm), sandbox.Options{})
	if c.Refused != "" || err != nil {
		says(t, "the refusal", err, c.Refused)
		if c.Refused == "" {
			t.Error("it is to be loaded")
		}
		return
	}
	defer func() {
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	q := newQueue()
	p, err := m.NewPool(t.Context(), limits(c, q))
	if c.Unstarted != "" || err != nil {
		says(t, "the failed start", err, c.Unstarted)
		if !fault.Is(err, fault.Trap) || c.Unstarted == "" {
			t.Errorf("got %v", err)
		}
		return
	}
	twice(t, c, q)
	begun := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	if err := p.Drain(ctx); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > hang {
		t.Errorf("it took %v to drain", took)
	}
}

// limits are tight where the case has to exceed them.
func limits(c hostile.Case, q *queue) sandbox.PoolConfig {
	cfg := sandbox.PoolConfig{Source: q, StartTimeout: testTimeout, Limits: spec.Limits{Concurrency: 1, Timeout: hostileTimeout}}
	if c.Unstarted != "" {
		cfg.StartTimeout = hostileTimeout
	}
	if c.Slow {
		cfg.Timeout = testTimeout
	}
	return cfg
}

// twice serves two events: the one that makes the guest misbehave, and another.
func twice(t *testing.T, c hostile.Case, q *queue) {
	t.Helper()
	q.push(attempt(t, 1, `{}`))
	d := q.await(t)
	checkOutcome(t, "the first event", c, d)
	q.push(attempt(t, 2, `{}`))
	d = q.await(t)
	switch {
	case c.Always:
		checkOutcome(t, "the second event", c, d)
	case d.outcome.Verdict != event.OK:
		t.Errorf("the second event: %q, %s", d.outcome.Class, d.outcome.Message)
	case c.Class != event.ClassTimeout && c.Class != event.ClassTrap && c.Class != event.ClassMemory && c.Class != event.ClassExit:
	case d.result != hostile.Fresh:
		t.Errorf("the result of the second event is %s, not that of a new instance", d.result)
	}
}

// maxMessage bounds the message of an outcome: a log line of the guest, a stack and the
// output.
const maxMessage = 32 << 10

func checkOutcome(t *testing.T, which string, c hostile.Case, d done) {
	t.Helper()
	o := d.outcome
	if o.Class != c.Class || (o.Verdict == event.OK) != (c.Class == "") {
		t.Errorf("%s: got %q, want %q: %.300s", which, o.Class, c.Class, o.Message)
	}
	if said := o.Message + d.result; !strings.Contains(said, c.Says) {
		t.Errorf("%s: %.300q does not say %q", which, said, c.Says)
	}
	if len(o.Message) > maxMessage || !utf8.ValidString(o.Message) {
		t.Errorf("%s: a message of %d bytes, UTF-8: %v", which, len(o.Message), utf8.ValidString(o.Message))
	}
	if o.Class == event.ClassTimeout && o.Duration > hang {
		t.Errorf("%s: it ran %v, its timeout is %v", which, o.Duration, hostileTimeout)
	}
}

// says checks that err is not nil, has the text, and is not too long.
func says(t *testing.T, what string, err error, want string) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("%s: there is none; want %q", what, want)
	case !strings.Contains(err.Error(), want):
		t.Errorf("%s: %.300s: does not say %q", what, err, want)
	case len(err.Error()) > maxMessage:
		t.Errorf("%s has %d bytes", what, len(err.Error()))
	default:
		t.Logf("%s: %s", what, strings.SplitN(fmt.Sprintf("%.200s", err), "\n", 2)[0])
	}
}
