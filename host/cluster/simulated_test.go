package cluster_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/cluster/ledgertest"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// world is a number of simulated hosts over one ledger, in a bubble of package synctest: its time
// is virtual.
type world struct {
	t      *testing.T
	ledger *ledgertest.Memory
	start  time.Time
	random *rand.Rand

	mu      sync.Mutex
	hosts   []*simHost // also those that were killed or have left
	open    map[*attempt]struct{}
	written map[string]uint64 // the highest epoch of an accepted write, by unit
	counts  counts
	down    bool // the database answers to no host
}

// counts are those of the attempts.
type counts struct{ attempts, accepted, refused, cancelled int }

func (w *world) counted() counts {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counts
}

// attempt is one of a simulated guest.
type attempt struct {
	host *simHost
	unit string
}

// simHost is a host whose process can be stopped like by SIGSTOP: all that it does then blocks at
// its next look at the clock, call of the ledger or step of the worker.
type simHost struct {
	*world
	id, name string
	units    []string
	rate     float64 // of its clock
	base     time.Duration
	cluster  *cluster.Cluster
	stop     context.CancelFunc
	ended    chan struct{}
	err      error // of Run
	random   *rand.Rand
	length   time.Duration // the longest attempt
	own      time.Duration // the longest start of a unit

	running  map[string]*run // by unit
	gate     chan struct{}   // closed: the process runs
	resumed  time.Time
	renewed  time.Time // when the newest beat was sent that was confirmed
	killed   bool
	cut      bool // nothing reaches the database
	refused  bool // the database answers each renewal with an error
	deaf     bool // no answer of the database arrives
	slow     bool // what travels takes up to 1.8 s
	graceful bool
}

type run struct {
	tenure *cluster.Tenure
	stop   chan struct{}
	ended  chan struct{}
}

func newWorld(t *testing.T, seed uint64) *world {
	return &world{t: t, ledger: ledgertest.NewMemory(), start: time.Now(), random: rand.New(rand.NewPCG(seed, 1)),
		open: make(map[*attempt]struct{}), written: make(map[string]uint64)}
}

type option func(*simHost, *cluster.Config)

// add starts a host that can run units.
func (w *world) add(name string, units []string, options ...option) *simHost {
	w.mu.Lock()
	h := &simHost{world: w, id: fmt.Sprintf("%s-%d", name, len(w.hosts)), name: name, units: units, rate: 1, ended: make(chan struct{}),
		base: time.Duration(w.random.Int64N(int64(100 * time.Hour))), running: make(map[string]*run), gate: make(chan struct{}),
		random: rand.New(rand.NewPCG(w.random.Uint64(), 2)), length: 400 * time.Millisecond, own: 200 * time.Millisecond}
	w.hosts = append(w.hosts, h)
	w.mu.Unlock()
	close(h.gate)
	cfg := cluster.Config{Ledger: &simLedger{h, w.ledger.Host()}, Worker: h, Clock: h.clock, Grace: time.Second,
		Logger: slog.New(slog.DiscardHandler),
		Member: func() spec.Member { return spec.Member{ID: h.id, Name: h.name, URL: "http://" + h.id} }}
	for _, o := range options {
		o(h, &cfg)
	}
	h.cluster = cluster.New(cfg)
	ctx, stop := context.WithCancel(context.Background())
	h.stop = stop
	go func() {
		defer close(h.ended)
		h.err = h.cluster.Run(ctx)
	}()
	return h
}

// pass blocks while the process is stopped.
func (h *simHost) pass() {
	for {
		h.mu.Lock()
		gate := h.gate
		h.mu.Unlock()
		select {
		case <-gate:
			return
		default:
			<-gate
		}
	}
}

func (h *simHost) now() time.Duration {
	return h.base + time.Duration(float64(time.Since(h.start))*h.rate)
}

func (h *simHost) clock() time.Duration {
	h.pass()
	return h.now()
}

func (h *simHost) pause() {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.gate:
		h.gate = make(chan struct{})
	default:
	}
}

func (h *simHost) resume() {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.gate:
	default:
		h.resumed = time.Now()
		close(h.gate)
	}
}

// stopped reports whether the process is stopped, or goes on at this moment: an attempt whose time is over may
// look open then.
func (h *simHost) stopped() bool { return h.paused() || time.Now().Equal(h.resumed) }

func (h *simHost) paused() bool {
	select {
	case <-h.gate:
		return false
	default:
		return true
	}
}

// kill ends a host like kill -9: it is stopped and never goes on.
func (h *simHost) kill() {
	h.pause()
	h.mu.Lock()
	h.killed = true
	h.mu.Unlock()
}

func (h *simHost) live() bool { return !h.killed && !h.graceful && !h.gone() }

// gone reports whether Run has ended.
func (h *simHost) gone() bool {
	select {
	case <-h.ended:
		return true
	default:
		return false
	}
}

// close ends all hosts, also what is left of the killed ones.
func (w *world) close() {
	for _, h := range w.hosts {
		if h.killed {
			h.mu.Lock()
			h.cut = true
			h.mu.Unlock()
		}
		h.stop()
		h.resume()
	}
	for _, h := range w.hosts {
		<-h.ended
	}
}

// Units implements cluster.Worker.
func (h *simHost) Units() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.units)
}

func (h *simHost) setUnits(units []string) {
	h.mu.Lock()
	h.units = units
	h.mu.Unlock()
	h.cluster.Refresh()
}

func (h *simHost) pick(limit time.Duration) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Duration(h.random.Int64N(int64(limit) + 1))
}

// Own implements cluster.Worker: it starts attempts, one after the other.
func (h *simHost) Own(ctx context.Context, unit string, t *cluster.Tenure) error {
	h.pass()
	select {
	case <-time.After(h.pick(h.own)):
	case <-ctx.Done():
		return ctx.Err()
	}
	h.pass()
	r := &run{t, make(chan struct{}), make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running[unit] != nil {
		h.t.Errorf("%s owns %s, which runs already", h.id, unit)
	}
	h.running[unit] = r
	go h.attempts(r)
	return nil
}

// attempts begins attempts while it may.
func (h *simHost) attempts(r *run) {
	defer close(r.ended)
	f := r.tenure.Fence()
	for {
		if r.tenure.Valid() {
			h.attempt(r, f)
		}
		select {
		case <-r.stop:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (h *simHost) attempt(r *run, f spec.Fence) {
	a := &attempt{h, f.Unit}
	h.mu.Lock()
	h.counts.attempts++
	h.open[a] = struct{}{}
	for other := range h.open {
		if other.unit == a.unit && other.host != h && !other.host.stopped() && !h.stopped() {
			h.t.Errorf("at %v: attempts of %s on %s and %s at one time", time.Since(h.start), a.unit, h.id, other.host.id)
		}
	}
	h.mu.Unlock()
	done := true
	select {
	case <-time.After(h.pick(h.length)):
	case <-r.tenure.Done():
		done = false
	}
	h.pass()
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.open, a)
	switch {
	case h.killed:
	case !done:
		h.counts.cancelled++
	case h.ledger.Unit(f.Unit).Epoch != f.Epoch:
		h.counts.refused++
	default:
		h.counts.accepted++
		if h.written[f.Unit] > f.Epoch {
			h.t.Errorf("a write of epoch %d after one of epoch %d", f.Epoch, h.written[f.Unit])
		}
		h.written[f.Unit] = f.Epoch
	}
}

// Disown implements cluster.Worker: it waits for the open attempt.
func (h *simHost) Disown(_ context.Context, unit string) error {
	h.pass()
	h.mu.Lock()
	r := h.running[unit]
	h.mu.Unlock()
	if r == nil {
		return nil
	}
	close(r.stop)
	<-r.ended
	h.pass()
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.running, unit)
	return nil
}

// check holds that at most one host has a valid tenure of a unit, and only while its lease lasts.
func (w *world) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	valid := make(map[string]string)
	for _, h := range w.hosts {
		for unit, r := range h.running {
			if h.killed || !r.tenure.ValidAt(h.now()) {
				continue
			}
			if other := valid[unit]; other != "" {
				w.t.Errorf("at %v: %s and %s have a valid tenure of %s", time.Since(w.start), other, h.id, unit)
			}
			valid[unit] = h.id
			if age := time.Since(h.renewed); float64(age)*h.rate > float64(cluster.BeginFor+time.Microsecond) {
				w.t.Errorf("at %v: the tenure of %s over %s is valid though the lease was renewed %v ago", time.Since(w.start), h.id, unit, age)
			}
		}
	}
}

// owners returns the live hosts that run the units, in a valid tenure.
func (w *world) owners() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	owners := make(map[string]string)
	for _, h := range w.hosts {
		for unit, r := range h.running {
			if !h.killed && !h.paused() && r.tenure.ValidAt(h.now()) {
				owners[unit] = h.name
			}
		}
	}
	return owners
}

// run lets the time of the test's own clock pass, and checks all the time.
func (w *world) run(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(5 * time.Millisecond) { // of the test's own clock
		w.check()
	}
}

// await lets the time of the test's own clock pass until a condition holds, and returns how long that took.
func (w *world) await(limit time.Duration, what string, holds func() bool) time.Duration {
	w.t.Helper()
	since := time.Now()
	for !holds() {
		if time.Since(since) > limit {
			w.t.Fatalf("after %v: not %s: owners %v", limit, what, w.owners())
		}
		w.check()
		time.Sleep(5 * time.Millisecond) // of the test's own clock
	}
	return time.Since(since)
}

// allOwned reports whether each of the units runs somewhere.
func (w *world) allOwned(units []string) func() bool {
	return func() bool {
		owners := w.owners()
		return !slices.ContainsFunc(units, func(u string) bool { return owners[u] == "" })
	}
}

// loads returns the number of units of each host.
func (w *world) loads() map[string]int {
	loads := make(map[string]int)
	for host := range maps.Values(w.owners()) {
		loads[host]++
	}
	return loads
}

// simLedger is the way from a host to the database and back.
type simLedger struct {
	*simHost
	cluster.Ledger
}

// travel is one way. It takes a while, or until ctx ends while the way is cut.
func (l *simLedger) travel(ctx context.Context, back bool) error {
	l.pass()
	wait := time.Millisecond + l.pick(5*time.Millisecond)
	l.mu.Lock()
	if l.slow {
		wait = time.Duration(l.random.Int64N(int64(1800 * time.Millisecond)))
	}
	lost := l.cut || l.down || back && l.deaf
	l.mu.Unlock()
	if lost {
		wait = time.Hour
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
	}
	l.pass()
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Unavailable, "the way to the database: %w", err)
	}
	return nil
}

func trip[T any](ctx context.Context, l *simLedger, do func(ctx context.Context) (T, error)) (T, error) {
	var zero T
	if err := l.travel(ctx, false); err != nil {
		return zero, err
	}
	v, err := do(context.WithoutCancel(ctx)) // the database goes on when the host does not wait any longer
	if lost := l.travel(ctx, true); lost != nil {
		return zero, lost
	}
	return v, err
}

func (l *simLedger) Beat(ctx context.Context, m spec.Beating) (spec.ClusterView, error) {
	sent := time.Now()
	v, err := trip(ctx, l, func(ctx context.Context) (spec.ClusterView, error) {
		l.mu.Lock()
		refused := l.refused
		l.mu.Unlock()
		if refused {
			return spec.ClusterView{}, fault.New(fault.Conflict, "the row of this host is locked")
		}
		return l.Ledger.Beat(ctx, m)
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && sent.After(l.renewed) {
		l.renewed = sent
	}
	return v, err
}

func (l *simLedger) Take(ctx context.Context, unit string, seen spec.Unit, owner string) (uint64, error) {
	return trip(ctx, l, func(ctx context.Context) (uint64, error) { return l.Ledger.Take(ctx, unit, seen, owner) })
}

func (l *simLedger) exec(ctx context.Context, do func(ctx context.Context) error) error {
	_, err := trip(ctx, l, func(ctx context.Context) (struct{}, error) { return struct{}{}, do(ctx) })
	return err
}

func (l *simLedger) Leave(ctx context.Context, id string) error {
	return l.exec(ctx, func(ctx context.Context) error { return l.Ledger.Leave(ctx, id) })
}

func (l *simLedger) Expire(ctx context.Context, dead []spec.Beating) error {
	return l.exec(ctx, func(ctx context.Context) error { return l.Ledger.Expire(ctx, dead) })
}

func (l *simLedger) Give(ctx context.Context, f spec.Fence) error {
	return l.exec(ctx, func(ctx context.Context) error { return l.Ledger.Give(ctx, f) })
}

func (l *simLedger) Ask(ctx context.Context, c spec.ClusterCommand) error {
	return l.exec(ctx, func(ctx context.Context) error { return l.Ledger.Ask(ctx, c) })
}

func (l *simLedger) Asked(ctx context.Context, units []string) ([]spec.ClusterCommand, error) {
	return trip(ctx, l, func(ctx context.Context) ([]spec.ClusterCommand, error) { return l.Ledger.Asked(ctx, units) })
}

func (l *simLedger) Answer(ctx context.Context, id string, body []byte, failure string) error {
	return l.exec(ctx, func(ctx context.Context) error { return l.Ledger.Answer(ctx, id, body, failure) })
}

func (l *simLedger) Answered(ctx context.Context, id string) (body []byte, failure string, done bool, err error) {
	err = l.exec(ctx, func(ctx context.Context) (err error) {
		body, failure, done, err = l.Ledger.Answered(ctx, id)
		return err
	})
	return body, failure, done, err
}
