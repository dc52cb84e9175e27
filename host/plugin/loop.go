package plugin

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"
)

// loop is the Manager's state and the goroutine that owns it. Other goroutines change it
// only by functions that the loop runs, see ask and spawn.
type loop struct {
	m       *Manager
	log     *slog.Logger
	closing bool
	busy    int // goroutines started by spawn

	dirs       []string
	generation int // grows when a scan under way must be repeated, see rescan
	scanned    int // generation of the last scan that was applied
	scanning   bool
	scanDue    time.Time
	troubles   map[string]string // errors that are logged already, by path
	polling    bool              // watching fails

	files   map[string]*file  // by path; changed by add and drop
	order   []*file           // see inOrder; nil: to be sorted again
	entries map[string]*entry // by plugin name
	serial  uint64            // of the last version started
	// changing are the reserved names, with the change; see reserve.
	changing map[string]string

	claimed          chan<- error // gets the result of the first claims, then nil
	firstInspections int          // under way, of the first scan
	awaitState       []*stateWaiter
	views            map[viewKey]shown
	answers          []chan struct{} // closed by the next publish
	published        time.Time       // time of the last publish
	publishes        int             // number of publishes
	sorts            int             // number of sorts by inOrder
}

func newLoop(m *Manager, claimed chan<- error) *loop {
	l := &loop{
		m:        m,
		log:      m.config.Logger,
		dirs:     m.config.Directories,
		troubles: make(map[string]string),
		files:    make(map[string]*file),
		entries:  make(map[string]*entry),
		changing: make(map[string]string),
		views:    make(map[viewKey]shown),
		claimed:  claimed,
	}
	for _, p := range m.config.Pins {
		l.pin(p, nil)
	}
	return l
}

func (l *loop) run() {
	defer close(l.m.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	closing := l.m.work.Done()
	for !l.closing || l.busy > 0 {
		select {
		case call := <-l.m.calls:
			call(l)
		case <-l.m.watcher.Changed():
			l.filesChanged(time.Now())
		case <-l.m.conditions:
		case <-timer.C:
		case <-closing:
			closing = nil
			l.close()
		}
		now := time.Now()
		next := l.tick(now)
		l.checkState()
		if due := l.publishDue(); now.Before(due) {
			next = earlier(next, due)
		} else {
			l.publish()
		}
		timer.Reset(time.Until(next))
	}
	l.publish()
}

const (
	// manyViews is the number of views from which on not every change is published at
	// once: a publish builds all views, and a start changes each several times.
	manyViews = 64
	// publishEvery is the time between two publishes for each view, at least twenty times
	// the cost of building it.
	publishEvery = 100 * time.Microsecond
)

// publishDue returns when to publish next: at once if a caller of when waits for it.
func (l *loop) publishDue() time.Time {
	n := max(len(l.entries), len(l.files))
	if n < manyViews || len(l.answers) > 0 {
		return time.Time{}
	}
	return l.published.Add(time.Duration(n) * publishEvery)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// spawn runs work in a goroutine, and the function that it returns in the loop.
func (l *loop) spawn(work func() func()) {
	l.busy++
	go func() {
		answer := work()
		l.m.calls <- func(l *loop) {
			l.busy--
			answer()
		}
	}()
}

func (l *loop) close() {
	l.closing = true
	if l.claimed != nil {
		l.claimed <- context.Cause(l.m.work)
		l.claimed = nil
	}
	l.spawn(func() func() {
		if err := l.m.watcher.Close(); err != nil {
			return func() { l.log.Warn("stop watching the plugin directories", "error", err) }
		}
		return func() {}
	})
	var running []*entry
	for _, e := range l.entries {
		l.cancel(e)
		if e.running != nil {
			running = append(running, e)
		}
	}
	slices.SortFunc(running, func(a, b *entry) int { return cmp.Compare(b.running.serial, a.running.serial) })
	for _, e := range running {
		l.stop(e, "the host is closing")
	}
}

// tick starts everything that is due, and returns the time of the next tick.
func (l *loop) tick(now time.Time) time.Time {
	next := now.Add(time.Hour)
	if l.closing {
		return next
	}
	due := func(t time.Time) bool {
		if now.Before(t) {
			if t.Before(next) {
				next = t
			}
			return false
		}
		return true
	}
	if l.claimed != nil {
		l.scanIfDue(now, due)
		return next
	}
	judging := l.judging()
	for _, f := range l.inOrder() {
		switch {
		case !f.there():
			// The file may have been renamed: its plugin is stopped only when no file is left
			// to inspect that could be it, or after a limit.
			switch quietAt := f.goneAt.Add(l.m.config.Debounce); {
			case !due(quietAt):
			case !f.confirmed:
				l.scanBy(now)
			case !judging || due(quietAt.Add(l.m.config.Quiet)):
				l.drop(f.path)
				l.reportFile(f)
				l.decide(f.name)
			}
		case f.reading || l.ending(f):
		case f.dirty:
			if due(f.changedAt.Add(l.m.config.Debounce)) {
				l.inspect(f, false)
			}
		case !f.retryAt.IsZero():
			if due(f.retryAt) {
				f.retryAt = time.Time{}
				l.inspect(f, false)
			}
		case f.Incomplete != "":
			if due(f.changedAt.Add(l.m.config.Quiet)) {
				f.Refusal, f.Incomplete = f.Incomplete, ""
				l.reportFile(f)
				l.decide(f.name)
			}
		case f.failed != nil && !f.failed.retryAt.IsZero():
			if due(f.failed.retryAt) {
				f.failed.retryAt = time.Time{}
				l.retry(f)
			}
		}
	}
	l.scanIfDue(now, due)
	return next
}

// judging reports whether a file is still to be inspected.
func (l *loop) judging() bool {
	for _, f := range l.files {
		if f.there() && (f.dirty || f.reading) {
			return true
		}
	}
	return false
}

// working reports whether a job is under way.
func (l *loop) working() bool {
	for _, e := range l.entries {
		if e.job != nil {
			return true
		}
	}
	return false
}
