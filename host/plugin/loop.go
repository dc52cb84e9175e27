package plugin

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/plugin/internal/folder"
	"github.com/berth-host/berth/host/plugin/schema"
)

// loop is the Manager's state and the goroutine that owns it. Nothing here is
// touched by another goroutine, except by what spawn's answers do in the loop.
type loop struct {
	m       *Manager
	log     *slog.Logger
	closing bool
	busy    int // goroutines that will answer

	dirs       []string
	generation int // of dirs, and of what was done to them that a look must not miss
	scanning   bool
	scanDue    time.Time
	troubles   map[string]string // what could not be looked at or watched, as logged
	polling    bool              // watching fails

	files   map[string]*file  // by path
	entries map[string]*entry // by plugin name
	serial  uint64            // of the last version started
	// changing has the names that are being installed or uninstalled, and which of the two.
	changing map[string]string

	claimed    chan<- error // answered once: all names are claimed, or the error; nil afterwards
	peeking    int          // inspections Start waits for
	awaitReady []chan struct{}
	awaitScan  []scanWaiter
	awaitState []*stateWaiter
	rows       map[rowKey]shown
	answers    []chan struct{} // closed when what they wait for can be seen
}

type scanWaiter struct {
	generation int
	answer     chan struct{}
}

// file is a module's file as far as it is known.
type file struct {
	path      string // of a pin: pinKey
	pin       *Pin   // nil for a file of a watched directory
	state     folder.State
	changedAt time.Time // when it was last seen to change
	goneAt    time.Time // when it was seen to be gone; zero: it is there
	confirmed bool      // a look that began a while after goneAt found the same
	dirty     bool      // to be inspected when at rest
	reading   bool      // is being inspected
	recheck   bool      // was read so shortly after a change that its times could not tell of another
	retryAt   time.Time // look again though nothing changed; zero: no
	retries   int
	retried   string // why the load that is tried again has failed; "" when it is not

	// What the last inspection came to. name outlives contents that have none,
	// so that a broken new file stays the business of the plugin it was.
	name     string
	sha256   string // "": nothing to load, refusal or waiting says why
	manifest abi.Manifest
	schema   *schema.Schema
	refusal  string
	waiting  string

	failed *failure // of the load of these contents
	vetted *vetted
}

// failure is a target that could not be brought about.
type failure struct {
	target  target
	reason  string
	code    fault.Code
	retryAt time.Time // zero: not before something changes
	retries int       // 0: it is not tried again by itself
}

// passing reports whether it is tried again by itself.
func (f *failure) passing() bool { return f.retries > 0 }

// vetted is what passed the Loader without having been started.
type vetted struct {
	sha256 string
	memory int64
	style  string
}

func (f *file) there() bool { return f.goneAt.IsZero() }

func (f *file) touch(now time.Time) {
	f.dirty = true
	f.changedAt = now
	f.retries = 0
	f.retried = ""
	f.retryAt = time.Time{}
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
		rows:     make(map[rowKey]shown),
		claimed:  claimed,
	}
	for _, p := range m.config.Pins {
		l.pin(p)
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
		case <-l.m.watcher.Poke():
			l.poked(time.Now())
		case <-l.m.conditions:
		case <-timer.C:
		case <-closing:
			closing = nil
			l.close()
		}
		timer.Reset(time.Until(l.tick(time.Now())))
		l.checkState()
		l.publish()
	}
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

// poked notes what the watcher saw. A file in the middle of being written is
// seen many times, so the look waits a little to see them all.
func (l *loop) poked(now time.Time) {
	for _, path := range l.m.watcher.Take() {
		if f := l.files[path]; f != nil {
			f.touch(now)
		}
	}
	l.scanBy(now.Add(l.m.config.Debounce / 8))
}

func (l *loop) scanBy(t time.Time) {
	if t.Before(l.scanDue) {
		l.scanDue = t
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
	unsettled := l.unsettled()
	for _, f := range l.inOrder() {
		switch {
		case !f.there():
			// The file may have been renamed: its plugin is given up only when
			// nothing is left that may turn out to be it, up to a limit.
			switch settled := f.goneAt.Add(l.m.config.Debounce); {
			case !due(settled):
			case !f.confirmed:
				l.scanBy(now)
			case !unsettled || due(settled.Add(l.m.config.Quiet)):
				delete(l.files, f.path)
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
		case f.waiting != "":
			if due(f.changedAt.Add(l.m.config.Quiet)) {
				f.refusal, f.waiting = f.waiting, ""
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
	if !unsettled && len(l.awaitReady) > 0 && !l.working() {
		l.answers = append(l.answers, l.awaitReady...)
		l.awaitReady = nil
	}
	return next
}

// unsettled reports whether any file is yet to be judged.
func (l *loop) unsettled() bool {
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

// inOrder returns the files, the ones that win a name first.
func (l *loop) inOrder() []*file {
	return slices.SortedFunc(maps.Values(l.files), func(a, b *file) int {
		da, db := l.rank(a), l.rank(b)
		switch {
		case da != db:
			return da - db
		case a.path < b.path:
			return -1
		}
		return 1
	})
}

func (l *loop) rank(f *file) int {
	if f.pin != nil {
		return -1
	}
	if i := slices.Index(l.dirs, filepath.Dir(f.path)); i >= 0 {
		return i
	}
	return len(l.dirs)
}

func (l *loop) scanIfDue(now time.Time, due func(time.Time) bool) {
	if l.scanning || !due(l.scanDue) {
		return
	}
	l.scanning = true
	every := l.m.config.Rescan
	if l.polling {
		every = min(every, time.Second)
	}
	l.scanDue = now.Add(every)
	dirs, generation, first := l.dirs, l.generation, l.claimed != nil
	l.spawn(func() func() {
		if first {
			for _, path := range folder.Sweep(dirs, now.Add(-leftover)) {
				l.log.Info("what an installation that was cut short has left was removed", "path", path)
			}
		}
		changed, err := l.m.watcher.Follow(dirs)
		listing := folder.Scan(dirs)
		if err != nil {
			listing.Unreadable["watch"] = err
		}
		return func() {
			l.scanning = false
			l.polling = err != nil
			if generation != l.generation {
				l.scanDue = time.Now()
				return
			}
			if changed {
				// Something may have happened before it was watched.
				l.scanBy(time.Now().Add(l.m.config.Debounce))
			}
			l.scanned(listing, now, time.Now())
		}
	})
}

// scanned takes in what a look at the directories found that began at a time.
func (l *loop) scanned(listing folder.Listing, began, now time.Time) {
	if l.closing {
		return
	}
	for path, state := range listing.Files {
		f := l.files[path]
		switch {
		case f == nil:
			f = &file{path: path, state: state}
			f.touch(now)
			if newest := time.Unix(0, state.Newest()); l.claimed != nil && newest.Before(now) {
				f.changedAt = newest // at rest for as long as we were not there
			}
			l.files[path] = f
		case f.state != state || !f.there():
			f.state, f.goneAt, f.confirmed = state, time.Time{}, false
			f.touch(now)
		case f.recheck && !f.reading:
			f.recheck = false
			f.dirty = true
		}
	}
	for path, f := range l.files {
		if f.pin != nil {
			continue
		}
		_, listed := listing.Files[path]
		followed := slices.Contains(l.dirs, filepath.Dir(path))
		unknown := listing.Unreadable[filepath.Dir(path)] != nil || listing.Unreadable[path] != nil
		switch {
		case listed:
		case !followed: // no rename: the directory was taken away
			f.goneAt, f.confirmed = now.Add(-l.m.config.Debounce-l.m.config.Quiet), true
		case unknown && f.there():
		case unknown, f.there():
			f.goneAt = now
		case !began.Before(f.goneAt.Add(l.m.config.Debounce)):
			f.confirmed = true
		}
	}
	l.note(listing.Unreadable)
	l.awaitScan = slices.DeleteFunc(l.awaitScan, func(w scanWaiter) bool {
		if w.generation <= l.generation {
			l.answers = append(l.answers, w.answer)
			return true
		}
		return false
	})
	if l.claimed != nil {
		for _, f := range l.inOrder() {
			l.peeking++
			l.inspect(f, now.Before(f.changedAt.Add(l.m.config.Debounce)))
		}
		l.peeked()
	}
}

// note logs what cannot be looked at, once.
func (l *loop) note(unreadable map[string]error) {
	for path, err := range unreadable {
		if text := err.Error(); l.troubles[path] != text {
			l.troubles[path] = text
			l.log.Warn("cannot look after a plugin directory; trying again and again", "path", path, "error", err)
		}
	}
	for path := range l.troubles {
		if unreadable[path] == nil {
			delete(l.troubles, path)
		}
	}
}

// inspect looks into a file. peek says that it is not at rest yet: its name is
// claimed as far as it has one, and all else is left for later.
func (l *loop) inspect(f *file, peek bool) {
	f.reading, f.dirty = true, peek
	first := l.claimed != nil
	path, pin, m := f.path, f.pin, l.m
	l.spawn(func() func() {
		release, err := slot(m.work, m.reading)
		if err != nil {
			return func() { f.reading = false }
		}
		defer release()
		var found finding
		if pin != nil {
			found = m.inspectPin(m.work, *pin)
		} else {
			found = m.inspect(m.work, path)
		}
		return func() {
			f.reading = false
			l.found(f, found, peek)
			if first {
				l.peeking--
				if found.claimErr != nil {
					l.claimedAll(fmt.Errorf("claim the events of plugin %s: %w", found.manifest.Name, found.claimErr))
				}
				l.peeked()
			}
		}
	})
}

// peeked ends the first look when the last file has been looked into.
func (l *loop) peeked() {
	if l.claimed == nil || l.peeking > 0 {
		return
	}
	l.claimedAll(nil)
	for _, f := range l.inOrder() {
		l.decide(f.name)
	}
}

func (l *loop) claimedAll(err error) {
	if l.claimed != nil {
		l.claimed <- err
		l.claimed = nil
	}
}

// found takes in what an inspection came to.
func (l *loop) found(f *file, found finding, peek bool) {
	now := time.Now()
	switch {
	case l.closing || l.files[f.path] != f || !f.there() || peek || f.dirty:
		return // gone, not at rest, or touched again in the meantime
	case found.changed:
		f.touch(now)
		l.scanBy(now)
		return
	case f.pin != nil: // nobody may write to it: its digest decides
		f.state = found.state
	case found.state != f.state:
		f.state = found.state
		f.touch(now)
		return
	}
	// A change within the resolution of the file's times would not show in them.
	f.recheck = now.Sub(time.Unix(0, f.state.Newest())).Abs() < 2*time.Second
	former := f.name
	if found.claimErr != nil {
		found.waiting = fmt.Sprintf("its events cannot be claimed: %v", found.claimErr)
		found.retry, found.sha256 = true, ""
		f.name = found.manifest.Name
	}
	if found.retry {
		f.retryAt = now.Add(min(l.m.config.Debounce<<min(f.retries, 6), 2*time.Second))
		f.retries++
	}
	f.refusal, f.waiting = found.refusal, found.waiting
	f.sha256, f.manifest, f.schema = found.sha256, found.manifest, found.schema
	if f.sha256 != "" {
		f.name, f.retries = f.manifest.Name, 0
	}
	if f.name != former {
		f.failed = nil
		l.decide(former)
	}
	l.decide(f.name)
}
