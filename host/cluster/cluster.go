package cluster

import (
	"context"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// The times of a lease.
const (
	BeatEvery = 750 * time.Millisecond // between two renewals
	BeginFor  = 2 * time.Second        // no attempt begins on an older lease
	LeaseFor  = 3 * time.Second        // attempts are cancelled, and other hosts take the units
)

const (
	beatTimeout  = 2 * time.Second
	maxBeats     = 3                      // renewals under way: one that got lost must not end the lease
	minBeatEvery = 20 * time.Millisecond  // also when others wake this host
	watchEvery   = 100 * time.Millisecond // timers do not run while a machine is suspended
	callTimeout  = 2 * time.Second        // of the other calls of the ledger

	maxTakes       = 16              // at a time
	maxRebalancing = 2               // units that a host gives away at a time for balance
	rebalanceFor   = 5 * time.Second // a unit that nobody has taken by then is no longer counted
	joinFor        = 10 * time.Second

	minRetry = time.Second // after a unit has failed to start
	maxRetry = time.Minute

	never = time.Duration(math.MaxInt64)

	maxClockOffset = 5 * time.Second // a larger one is logged
)

// Config is what a Cluster is made of.
type Config struct {
	Ledger Ledger
	// Member describes this host: ID, Name, URL, Version, Settings, Modules, Inactive, Watched and
	// StartedAt. The ID is of this start of the host.
	Member func() spec.Member
	Worker Worker
	// Jobs are units of the cluster too, by their names, which begin with ":". A job runs on one
	// host at a time until its context ends, which carries the fence, and is started again
	// when it returns.
	Jobs map[string]func(ctx context.Context) error
	// Methods are the commands that hosts carry out for each other, by name; see Do.
	Methods map[string]Method
	// Changed, if set, is called with the revisions of the shared documents when one is other than
	// at the last call, and must return soon.
	Changed func(revisions map[string]uint64)
	// CutOff, if set, is called with true when the ledger has not answered for as long as a lease
	// lasts, and with false when it answers again. It must return soon.
	CutOff func(cutOff bool)
	// Hold is how long a host keeps a unit before it gives it away for balance; 0 is 30 s. It does
	// not hold one that it takes soon after it can run it, as at its start.
	Hold time.Duration
	// Grace is how long an attempt may go on when its unit is given away; 0 is 10 s.
	Grace  time.Duration
	Logger *slog.Logger
	// Clock counts the time since some moment, also while the machine is suspended; nil is
	// the machine's.
	Clock func() time.Duration
}

// Cluster is a host as a member of a cluster. All methods are safe for concurrent use.
type Cluster struct {
	cfg   Config
	self  string
	log   *slog.Logger
	clock func() time.Duration
	kick  chan struct{} // a token: renew now
	work  sync.WaitGroup
	jobs  *jobs

	mu          sync.Mutex
	tenures     map[string]*Tenure
	busy        map[string]bool // units that a goroutine takes, stops or gives away, and expiring
	taking      int
	rebalancing map[string]time.Duration // units that were given away for balance, and until when they count
	failed      map[string]failure       // units that could not be started here
	offered     map[string]time.Duration // units that this host can run, and since when
	orphans     map[string]orphan        // units with commands that this host waits for
	sight       sight
	view        spec.ClusterView
	number      uint64 // of the newest renewal that was sent
	applied     uint64 // and of the one that the view is of
	renewed     time.Duration
	renewedAt   time.Time     // the same, to be shown
	joined      bool          // a renewal was confirmed
	refused     time.Duration // when the newest renewal was sent that the database answered with an error
	refusal     error         // this error
	draining    bool
	leaving     bool
	rival       *spec.Beating // a member of the same name that was there before this one
	fatal       error
	offset      time.Duration // of this host's clock
	cutOff      bool          // it was logged that the lease cannot be renewed
	watched     time.Duration // when watch was called last
	awake       time.Duration // since when it is called without a gap: the host was not suspended
	saidCutOff  bool          // CutOff was called with true
	stats       Stats

	commands commands // those for this member
}

// failure is a unit that could not be started here.
type failure struct {
	until time.Duration
	wait  time.Duration
}

// New returns a host that is no member yet: see Run.
func New(cfg Config) *Cluster {
	if cfg.Hold == 0 {
		cfg.Hold = 30 * time.Second
	}
	if cfg.Grace == 0 {
		cfg.Grace = 10 * time.Second
	}
	if cfg.Clock == nil {
		cfg.Clock = bootTime
	}
	c := &Cluster{
		cfg: cfg, self: cfg.Member().ID, log: cfg.Logger, clock: cfg.Clock,
		kick:    make(chan struct{}, 1),
		tenures: make(map[string]*Tenure), busy: make(map[string]bool),
		rebalancing: make(map[string]time.Duration), failed: make(map[string]failure),
		orphans: make(map[string]orphan), offered: make(map[string]time.Duration),
	}
	c.jobs = newJobs(cfg.Jobs, c.log)
	return c
}

type beatResult struct {
	number         uint64
	sent, received time.Duration
	offset         time.Duration
	view           spec.ClusterView
	err            error
}

// Run makes this host a member and lets it run units until ctx ends. Then it stops its units,
// gives them away and leaves. It is called once. The error is fault.Conflict when another live
// host has the same name: this one has left then, and is to be stopped.
func (c *Cluster) Run(ctx context.Context) error {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer c.work.Wait()
	defer cancel()
	results := make(chan beatResult)
	watch := time.NewTicker(watchEvery)
	defer watch.Stop()
	next := time.NewTimer(0)
	defer next.Stop()
	var (
		last     time.Duration // when a renewal was sent
		underway int
		due      bool
		ending   = ctx.Done()
		deadline <-chan time.Time
	)
	at := never
	plan := func(when time.Duration) { // the earliest time counts until a renewal is sent
		if at = min(at, when); !due {
			next.Reset(max(0, at-c.clock()))
		}
	}
	for {
		select {
		case <-ending:
			ending = nil
			c.releaseAll(inner)
			plan(c.clock())
		case <-deadline:
			c.log.Warn("leave the cluster without having stopped all units: other hosts take them when the lease ends")
			return c.failure()
		case <-watch.C:
			c.watch(inner)
		case <-c.kick:
			plan(last + minBeatEvery)
		case <-c.cfg.Ledger.Wake():
			plan(last + minBeatEvery)
		case <-next.C:
			due = true
		case r := <-results:
			underway--
			if r.err != nil {
				if c.beatFailed(inner, r) {
					c.noteCutOff(false)
				}
			} else {
				c.apply(inner, r)
				plan(c.nextBeat(last))
			}
		}
		leaving, idle := c.ending()
		if leaving && deadline == nil {
			deadline = time.After(c.cfg.Grace + LeaseFor)
		}
		if idle && underway == 0 { // no renewal makes this host a member again
			c.leave(inner)
			return c.failure()
		}
		if due && !idle && underway < maxBeats {
			due = false
			at = never
			last = c.clock()
			underway++
			c.sendBeat(inner, results)
			plan(last + BeatEvery)
		}
	}
}

// sendBeat sends a renewal in its own goroutine, which delivers the result.
func (c *Cluster) sendBeat(ctx context.Context, results chan<- beatResult) {
	m := c.cfg.Member()
	m.ID = c.self
	units := c.units()
	now := c.clock()
	c.mu.Lock()
	c.number++
	m.Units = c.runnable(now, units)
	m.Draining = c.reluctant()
	m.ClockOffset = c.offset
	joining := !c.joined
	r := beatResult{number: c.number, sent: now}
	c.mu.Unlock()
	c.work.Go(func() {
		call, cancel := context.WithTimeout(ctx, beatTimeout)
		defer cancel()
		sent := time.Now()
		r.view, r.err = c.cfg.Ledger.Beat(call, spec.Beating{Member: m, Beat: r.number, Joining: joining})
		r.received = c.clock()
		// The database read its clock at some moment between the two.
		r.offset = sent.Add(time.Since(sent) / 2).Sub(r.view.Now).Round(time.Millisecond)
		select {
		case results <- r:
		case <-ctx.Done():
		}
	})
}

// units returns the units of this host, ascending.
func (c *Cluster) units() []string {
	units := append(slices.Collect(maps.Keys(c.cfg.Jobs)), c.cfg.Worker.Units()...)
	slices.Sort(units)
	return slices.Compact(units)
}

// runnable returns those that it can run now: one that has failed is left to others for a while.
func (c *Cluster) runnable(now time.Duration, units []string) []string {
	return slices.DeleteFunc(units, func(unit string) bool { return now < c.failed[unit].until })
}

// beatFailed reports whether the database has answered.
func (c *Cluster) beatFailed(ctx context.Context, r beatResult) (answered bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.BeatFailures++
	answered = !fault.Is(r.err, fault.Unavailable) && !fault.Is(r.err, fault.Timeout)
	if answered && r.sent > c.refused {
		c.refused, c.refusal = r.sent, r.err
	}
	if !c.cutOff && ctx.Err() == nil && r.received-c.renewed >= BeginFor {
		c.cutOff = true
		c.log.Warn("the lease cannot be renewed: no attempt begins until it is", "error", r.err)
	}
	return answered
}

// apply takes over what a renewal has returned.
func (c *Cluster) apply(ctx context.Context, r beatResult) {
	changed := c.applyView(r)
	c.noteCutOff(false)
	if changed && c.cfg.Changed != nil {
		c.cfg.Changed(maps.Clone(r.view.Revisions))
	}
	c.reconcile(ctx)
	c.pollCommands(ctx)
}

func (c *Cluster) applyView(r beatResult) (changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Beats++
	if r.number < c.applied {
		return false // a later one has returned before
	}
	changed = !maps.Equal(c.view.Revisions, r.view.Revisions)
	c.applied, c.view, c.renewed, c.renewedAt = r.number, r.view, r.sent, time.Now()
	c.sight.see(r.received, r.view.Members)
	if c.cutOff {
		c.cutOff = false
		c.log.Info("the lease is renewed again")
	}
	if r.offset.Abs() > maxClockOffset && c.offset.Abs() <= maxClockOffset {
		c.log.Warn("the clock of this host is far from the database's: set it, for example with NTP; times in listings and schedules are wrong until then",
			"offset", r.offset)
	}
	c.offset = r.offset
	c.checkName()
	c.joined = true
	for name, t := range c.tenures {
		u, _ := c.unit(name)
		switch {
		case u.Epoch == t.fence.Epoch && u.Owner == c.self:
			t.renew(r.sent)
		case u.Epoch > t.fence.Epoch && u.Owner == c.self:
			c.lose(t, "the database has ended its epoch: it was failed over")
		case u.Epoch >= t.fence.Epoch: // an earlier epoch was read before the take
			c.lose(t, "another host has ended the lease")
		}
	}
	for unit, until := range c.rebalancing {
		if u, _ := c.unit(unit); r.received >= until || u.Owner != "" && u.Owner != c.self {
			delete(c.rebalancing, unit)
		}
	}
	return changed
}

// checkName finds another member of this host's name. A member that was there before may be
// this host before it was started again: then it does not renew.
func (c *Cluster) checkName() {
	name := ""
	for _, m := range c.view.Members {
		if m.ID == c.self {
			name = m.Name
		}
	}
	for _, m := range c.view.Members {
		if m.ID == c.self || m.Name != name {
			continue
		}
		switch {
		case !c.joined:
			c.rival = &m
		case c.rival != nil && m.ID == c.rival.ID && m.Beat != c.rival.Beat && c.fatal == nil:
			c.fatal = fault.New(fault.Conflict, "the host at %s is a member of the cluster under the name %q already: give each host another cluster.name", m.URL, name)
			c.leaving = true
		}
	}
	if c.rival != nil && !c.sight.alive(c.rival.ID) {
		c.rival = nil
	}
}

// unit returns a unit of the view, and whether it has one.
func (c *Cluster) unit(name string) (spec.Unit, bool) {
	i := slices.IndexFunc(c.view.Units, func(u spec.Unit) bool { return u.Name == name })
	if i < 0 {
		return spec.Unit{}, false
	}
	return c.view.Units[i], true
}

// watch ends the tenures whose lease has ended, also while the database does not answer.
func (c *Cluster) watch(ctx context.Context) {
	now := c.clock()
	c.mu.Lock()
	for _, t := range c.tenures {
		if t.renewed.Load() != ended && !t.within(now, LeaseFor-watchEvery) {
			c.lose(t, "the database has not answered in time")
		}
	}
	c.stopEnded(ctx)
	if now-c.watched > maxGap {
		c.awake = now
	}
	c.watched = now
	cutOff := now-max(c.renewed, c.refused, c.awake) >= LeaseFor
	c.mu.Unlock()
	if cutOff {
		c.noteCutOff(true)
	}
}

// noteCutOff calls CutOff at a change. Only Run calls it.
func (c *Cluster) noteCutOff(cutOff bool) {
	if c.saidCutOff != cutOff && c.cfg.CutOff != nil {
		c.cfg.CutOff(cutOff)
	}
	c.saidCutOff = cutOff
}

// nextBeat returns when to renew next: early if a member may be dead then.
func (c *Cluster) nextBeat(last time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := last + BeatEvery
	if death, found := c.sight.nextDeath(c.self); found {
		at = min(at, max(death, last+minBeatEvery))
	}
	return at
}

// ending reports whether the host leaves the cluster, and whether it has no unit any more.
func (c *Cluster) ending() (leaving, idle bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leaving, c.leaving && len(c.tenures) == 0 && len(c.busy) == 0
}

// releaseAll starts to give all units away, also while the database does not answer.
func (c *Cluster) releaseAll(ctx context.Context) {
	units, now := c.units(), c.clock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaving = true
	c.stopEnded(ctx)
	c.releaseSurplus(ctx, now, units, nil)
}

func (c *Cluster) leave(ctx context.Context) {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := c.cfg.Ledger.Leave(call, c.self); err != nil {
		c.log.Warn("leave the cluster: other hosts see that this one is gone when its lease ends", "error", err)
	}
}

func (c *Cluster) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fatal
}

// Refresh makes the host look at its units and at the cluster now.
func (c *Cluster) Refresh() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// SetDraining makes this host take no unit and give its own away, or ends that.
func (c *Cluster) SetDraining(draining bool) {
	c.mu.Lock()
	c.draining = draining
	c.mu.Unlock()
	c.Refresh()
}

// Ready returns why this host cannot run units, or nil: fault.Unavailable while it is cut off
// from the database, and the error of Run.
func (c *Cluster) Ready() error {
	now := c.clock()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.fatal != nil:
		return c.fatal
	case !c.joined:
		return fault.New(fault.Unavailable, "this host has not joined the cluster yet: the database has not answered")
	case now-c.renewed >= LeaseFor && now-c.refused < LeaseFor && c.refusal != nil:
		return fault.New(fault.Unavailable, "the cluster's database refuses to renew the lease of this host: %w", c.refusal)
	case now-c.renewed >= LeaseFor:
		return fault.New(fault.Unavailable, "this host is cut off from the cluster's database: it last answered at %s; hosts that reach it run the handlers",
			c.renewedAt.UTC().Format(time.TimeOnly+" UTC"))
	}
	return nil
}
