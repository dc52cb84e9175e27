package plugin

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"
)

// loop is the Manager's state and the goroutine that owns it. Nothing here is
// touched by another goroutine, except by what spawn's answers do in the loop.
type loop struct {
	m       *Manager
	log     *slog.Logger
	closing bool
	busy    int // goroutines that will answer

	dirs       []string
	generation int // grows when a scan under way must be repeated, see rescan
	scanned    int // generation of the last scan that was applied
	scanning   bool
	scanDue    time.Time
	troubles   map[string]string // what could not be looked at or watched, as logged
	polling    bool              // watching fails

	files   map[string]*file  // by path; changed by add and drop
	order   []*file           // see inOrder; nil: to be sorted again
	entries map[string]*entry // by plugin name
	serial  uint64            // of the last version started
	// changing has the names that are being installed or uninstalled, and which of the two.
	changing map[string]string

	claimed    chan<- error // answered once: all names are claimed, or the error; nil afterwards
	peeking    int          // inspections Start waits for
	awaitState []*stateWaiter
	views      map[viewKey]shown
	answers    []chan struct{} // closed when what they wait for can be seen
	published  time.Time       // when rows were shown last
	publishes  int             // how often they were
	sorts      int             // how often order was made
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
	// manyRows is from how many rows on they are not shown anew with each change: to
	// look at all of them costs time, and a start or an end changes each several times.
	manyViews = 64
	// viewEvery is how much time passes for each row before all are shown again. It
	// is twenty times what it takes, or more.
	publishEvery = 100 * time.Microsecond
)

// viewDue is when the rows are to be shown again. Nobody who waits to see
// something waits for that.
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

// spawn runs work in a goroutine, and what it answers in the loop.
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

// tick starts everything that is due, and returns when to come again.
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
		return next // the first look is not over
	}
	judging := l.judging()
	for _, f := range l.inOrder() {
		switch {
		case !f.there():
			// The file may have been renamed: its plugin is given up only when
			// nothing is left that may turn out to be it, up to a limit.
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

// unsettled reports whether any file is yet to be judged.
func (l *loop) judging() bool {
	for _, f := range l.files {
		if f.there() && (f.dirty || f.reading) {
			return true
		}
	}
	return false
}

func (l *loop) working() bool {
	for _, e := range l.entries {
		if e.job != nil {
			return true
		}
	}
	return false
}
