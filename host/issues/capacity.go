package issues

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// otherOf is the fingerprint of a handler's issue for the failures without one of their own.
func otherOf(handler string) fingerprint { return fingerprint{handler: handler, class: Other} }

// otherMessage is the message of that issue.
const otherMessage = "other failures: they have no issue of their own, because too many issues are open"

// open returns the issue for a fingerprint that has none: a new one. When MaxActive issues
// are active, the handler with most of them gives one up. If that is the same handler, it is
// the handler's issue for other failures.
func (t *Tracker) open(fp fingerprint, message string) *group {
	if t.nActive < MaxActive {
		return t.add(fp, message)
	}
	if busiest, n := t.busiest(); n > t.active[fp.handler]+1 {
		t.reclaim(busiest)
		return t.add(fp, message)
	}
	return t.other(fp.handler)
}

// busiest returns the handler with most active issues, and their number.
func (t *Tracker) busiest() (handler string, n int) {
	for name, count := range t.active {
		if count > n || count == n && name < handler {
			handler, n = name, count
		}
	}
	return handler, n
}

// other returns a handler's issue for other failures. A new one replaces an active issue of
// the handler, if it has any: there is one for each of more than MaxActive handlers.
func (t *Tracker) other(handler string) *group {
	if g := t.groups[otherOf(handler)]; g != nil {
		return g
	}
	oldest := t.oldestActive(handler)
	if oldest != nil {
		t.remove(oldest)
	}
	g := t.add(otherOf(handler), otherMessage)
	if oldest != nil {
		g.absorb(oldest)
	}
	return g
}

// reclaim makes one more issue possible, if the handler has more than one: it removes the least
// recently seen ones of the handler, and adds their counts to its issue for other failures.
func (t *Tracker) reclaim(handler string) {
	into := t.other(handler)
	if into.State == wire.IssueResolved {
		t.setState(into, wire.IssueOpen, "", t.cfg.Now().Round(0).UTC(), "issues were added to it")
	}
	for t.nActive >= MaxActive {
		g := t.oldestActive(handler)
		if g == nil {
			return
		}
		t.remove(g)
		into.absorb(g)
		t.markDirty(into)
	}
}

// oldestActive returns the active issue of a handler that failed last the longest ago: an open
// one, or an acknowledged one if there is no other. Nil: there is none but that for other
// failures.
func (t *Tracker) oldestActive(handler string) *group {
	var oldest *group
	for _, g := range t.byID {
		if g.Handler != handler || !g.isActive() || g.fingerprint.class == Other {
			continue
		}
		if oldest == nil || precedes(g, oldest) {
			oldest = g
		}
	}
	return oldest
}

// precedes reports whether a is folded before b.
func precedes(a, b *group) bool {
	if a.State != b.State {
		return a.State == wire.IssueOpen
	}
	return newestFirst(a, b) > 0
}

// add makes an open issue. It keeps nothing of the event's memory.
func (t *Tracker) add(fp fingerprint, message string) *group {
	id := t.nextID(fp)
	fp = fingerprint{handler: strings.Clone(fp.handler), class: event.Class(strings.Clone(string(fp.class))),
		message: strings.Clone(fp.message), frame: strings.Clone(fp.frame)}
	g := &group{fingerprint: fp, id: id}
	g.Issue = wire.Issue{ID: strconv.FormatUint(id, 10), Handler: fp.handler, Class: string(fp.class),
		Message: strings.Clone(event.Headline(message, maxMessage)), State: wire.IssueOpen}
	if fp.class != Other {
		if top := t.cfg.Top(message); top != nil {
			g.Frame = &spec.Frame{Function: strings.Clone(top.Function), File: strings.Clone(top.File), Line: top.Line}
		}
	}
	t.insert(g)
	t.markDirty(g)
	return g
}

// markDirty has the issue stored with the next write.
func (t *Tracker) markDirty(g *group) {
	if !g.dirty {
		g.dirty = true
		t.dirty = append(t.dirty, g)
	}
}

// insert adds a group to the indexes.
func (t *Tracker) insert(g *group) {
	t.groups[g.fingerprint], t.byID[g.id] = g, g
	if g.isActive() {
		t.countActive(g.Handler, 1)
	}
}

// remove removes a group, and its document with the next write.
func (t *Tracker) remove(g *group) {
	delete(t.groups, g.fingerprint)
	delete(t.byID, g.id)
	t.removed[g.id] = g.Handler
	if g.isActive() {
		t.countActive(g.Handler, -1)
	}
}

func (t *Tracker) countActive(handler string, n int) {
	t.nActive += n
	if t.active[handler] += n; t.active[handler] == 0 {
		delete(t.active, handler)
	}
}

// setState changes the state of an issue. Of too many ended ones it removes those that ended
// first.
func (t *Tracker) setState(g *group, state wire.IssueState, by string, at time.Time, note string) {
	was := g.isActive()
	g.State, g.StateBy, g.StateAt, g.Note = state, by, &at, note
	t.markDirty(g)
	switch now := g.isActive(); {
	case now && !was:
		t.countActive(g.Handler, 1)
	case was && !now:
		t.countActive(g.Handler, -1)
		t.trim()
	}
}

// trim removes the ended issues beyond MaxEnded.
func (t *Tracker) trim() {
	for len(t.byID)-t.nActive > MaxEnded {
		var first *group
		for _, g := range t.byID {
			if !g.isActive() && (first == nil || endedBefore(g, first)) {
				first = g
			}
		}
		t.remove(first)
	}
}

func endedBefore(a, b *group) bool {
	return cmp.Or(a.StateAt.Compare(*b.StateAt), cmp.Compare(a.id, b.id)) < 0
}

// activate makes an ended issue open again. When MaxActive issues are active, the handler with
// most of them gives one up.
func (t *Tracker) activate(g *group, by string, at time.Time, note string) {
	if t.nActive >= MaxActive {
		busiest, _ := t.busiest()
		t.reclaim(busiest)
	}
	t.setState(g, wire.IssueOpen, by, at, note)
}

// reopen makes a resolved issue open again because of a failure.
func (t *Tracker) reopen(g *group, rec event.Record, at time.Time, version string) {
	note := "it failed again"
	if version != "" {
		note += " in version " + strings.Clone(version)
	}
	g.Reopened++
	t.cfg.Logger.Warn("issue reopened: it failed again after it was resolved", "issue", g.ID, spec.LogUnit(g.Handler), "class", g.Class,
		"error", g.Message, "event_id", rec.Event.ID(), "version", version, "resolved_by", g.StateBy)
	t.activate(g, "", at, note)
}
