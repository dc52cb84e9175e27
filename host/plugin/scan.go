package plugin

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/plugin/folder"
)

// filesChanged marks the files that the watcher reports. A file is reported many times
// while it is written, so the scan waits a little.
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
				l.log.Info("temporary file of an interrupted installation removed", "path", path)
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
				// It may have changed before it was watched.
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
				f.changedAt = newest // unchanged since before the start
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
		case !followed: // not a rename: the directory is not watched any more
			f.goneAt, f.confirmed = now.Add(-l.m.config.Debounce-l.m.config.Quiet), true
		case unknown && f.there():
		case unknown, f.there():
			f.goneAt = now
		case !began.Before(f.goneAt.Add(l.m.config.Debounce)):
			f.confirmed = true
		}
	}
	l.logUnreadable(listing.Unreadable)
	l.scanned = l.generation
	if l.claimed != nil {
		for _, f := range l.inOrder() {
			l.firstInspections++
			l.inspect(f, now.Before(f.changedAt.Add(l.m.config.Debounce)))
		}
		l.endFirstScan()
	}
}

// logUnreadable logs each directory or file that cannot be read, once.
func (l *loop) logUnreadable(unreadable map[string]error) {
	for path, err := range unreadable {
		if text := err.Error(); l.troubles[path] != text {
			l.troubles[path] = text
			l.log.Warn("plugin directory not watched or read; retrying", "path", path, "error", err)
		}
	}
	for path := range l.troubles {
		if unreadable[path] == nil {
			delete(l.troubles, path)
		}
	}
}

// inspect inspects a file. claimOnly is for a file that may still be changing: if it has
// a name, that is claimed, and the rest is left to a later inspection.
func (l *loop) inspect(f *file, claimOnly bool) {
	f.reading, f.dirty = true, claimOnly
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
			l.found(f, found, claimOnly)
			if first {
				l.firstInspections--
				if found.claimErr != nil && !fault.Is(found.claimErr, fault.Exhausted) {
					l.claimedAll(fmt.Errorf("claim the events of plugin %s: %w", found.Manifest.Name, found.claimErr))
				}
				l.endFirstScan()
			}
		}
	})
}

// endFirstScan ends Start's wait after the last inspection of the first scan.
func (l *loop) endFirstScan() {
	if l.claimed == nil || l.firstInspections > 0 {
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

// found applies the result of an inspection.
func (l *loop) found(f *file, found finding, claimOnly bool) {
	now := time.Now()
	switch {
	case l.closing || l.files[f.path] != f || !f.there() || claimOnly || f.dirty:
		return // gone, still changing, or changed again
	case found.changed:
		f.markDirty(now)
		l.scanBy(now)
		return
	case f.pin != nil: // its digest decides, not its times
		f.state = found.state
	case found.state != f.state:
		f.state = found.state
		f.markDirty(now)
		return
	}
	// The file's times do not show a change within their resolution.
	f.recheck = now.Sub(time.Unix(0, f.state.Newest())).Abs() < 2*time.Second
	former := f.name
	if found.claimErr != nil {
		found.Incomplete = "its events cannot be claimed: " + fault.Public(found.claimErr.Error(), found.claimErr)
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
