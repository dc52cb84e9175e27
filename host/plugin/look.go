package plugin

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/plugin/folder"
)

// poked notes what the watcher saw. A file in the middle of being written is
// seen many times, so the look waits a little to see them all.
func (l *loop) filesChanged(now time.Time) {
	for _, path := range l.m.watcher.Take() {
		if f := l.files[path]; f != nil {
			f.markDirty(now)
		}
	}
	l.scanBy(now.Add(l.m.config.Debounce / 8))
}

func (l *loop) scanBy(t time.Time) {
	if t.Before(l.scanDue) {
		l.scanDue = t
	}
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
			l.applyScan(listing, now, time.Now())
		}
	})
}

// applyScan applies the result of a scan of the directories that began at a time.
func (l *loop) applyScan(listing folder.Listing, began, now time.Time) {
	if l.closing {
		return
	}
	for path, state := range listing.Files {
		f := l.files[path]
		switch {
		case f == nil:
			f = &file{path: path, state: state}
			f.markDirty(now)
			if newest := time.Unix(0, state.Newest()); l.claimed != nil && newest.Before(now) {
				f.changedAt = newest // at rest for as long as we were not there
			}
			l.add(f)
		case f.state != state || !f.there():
			f.state, f.goneAt, f.confirmed = state, time.Time{}, false
			f.markDirty(now)
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
	l.scanned = l.generation
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
	path, pin, candidate, m := f.path, f.pin, f.candidate, l.m
	l.spawn(func() func() {
		release, err := slot(m.work, m.reading)
		if err != nil {
			return func() { f.reading = false }
		}
		var found finding
		if pin != nil {
			found = m.inspectPin(*pin, candidate)
		} else {
			found = m.inspect(path)
		}
		release()
		if m.claim(&found); pin != nil && found.claimErr != nil {
			found.Refusal = ""
		}
		return func() {
			f.reading = false
			l.found(f, found, peek)
			if first {
				l.peeking--
				if found.claimErr != nil && !fault.Is(found.claimErr, fault.Exhausted) {
					l.claimedAll(fmt.Errorf("claim the events of plugin %s: %w", found.Manifest.Name, found.claimErr))
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
		f.markDirty(now)
		l.scanBy(now)
		return
	case f.pin != nil: // nobody may write to it: its digest decides
		f.state = found.state
	case found.state != f.state:
		f.state = found.state
		f.markDirty(now)
		return
	}
	// A change within the resolution of the file's times would not show in them.
	f.recheck = now.Sub(time.Unix(0, f.state.Newest())).Abs() < 2*time.Second
	former := f.name
	if found.claimErr != nil {
		found.Incomplete = fmt.Sprintf("its events cannot be claimed: %v", found.claimErr)
		found.retry, found.SHA256 = true, ""
		f.name = found.Manifest.Name
	}
	if found.retry {
		f.retryAt = now.Add(min(l.m.config.Debounce<<min(f.retries, 6), 2*time.Second))
		f.retries++
	}
	f.Identity = found.Identity
	if f.SHA256 != "" {
		f.name, f.retries = f.Manifest.Name, 0
	}
	if c := f.candidate; c != nil {
		f.vetted = &vetted{sha256: c.target.sha256, memory: c.target.settings.Limits.Memory, style: c.style}
	}
	l.reportFile(f)
	if f.name != former {
		f.failed = nil
		l.decide(former)
	}
	l.decide(f.name)
}
