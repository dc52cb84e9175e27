package issues

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

func selects(q spec.IssueQuery, g *group) bool {
	return (q.Handler == "" || q.Handler == spec.PluginOf(g.Handler)) && (q.Class == "" || q.Class == g.Class) &&
		(q.Version == "" || slices.Contains(g.Versions, q.Version)) && (len(q.States) == 0 || slices.Contains(q.States, string(g.State)))
}

// List returns a page of the issues that a query selects, the one that failed last first. An
// issue that fails again while pages are read moves to the first one. A malformed cursor is
// fault.Invalid.
func (t *Tracker) List(q spec.IssueQuery) (wire.List[wire.Issue], error) {
	page := wire.List[wire.Issue]{Items: []wire.Issue{}}
	after, err := parseCursor(q.Cursor)
	if err != nil {
		return page, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []*group
	for _, g := range t.byID {
		if selects(q, g) && (after == nil || newestFirst(g, after) > 0) {
			found = append(found, g)
		}
	}
	slices.SortFunc(found, newestFirst)
	if q.Limit > 0 && len(found) > q.Limit {
		found = found[:q.Limit]
		page.Next = new(cursorAt(found[q.Limit-1]))
	}
	for _, g := range found {
		page.Items = append(page.Items, shown(g.summary()))
	}
	return page, nil
}

// Show returns an issue with its minutes and latest failures; fault.NotFound.
func (t *Tracker) Show(id string) (wire.Issue, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g, err := t.find(id)
	if err != nil {
		return wire.Issue{}, err
	}
	return shown(g.details(t.cfg.Now())), nil
}

// shown returns an issue, which is of a unit, as callers see it: of a plugin and its shard.
func shown(i wire.Issue) wire.Issue {
	i.Handler, i.Shard = spec.SplitUnit(i.Handler)
	return i
}

func (t *Tracker) find(id string) (*group, error) {
	if n, ok := number(id); ok && t.byID[n] != nil {
		return t.byID[n], nil
	}
	return nil, fault.New(fault.NotFound, "there is no issue %s", fault.Quote(id))
}

// number parses an id as ids are written.
func number(id string) (uint64, bool) {
	n, err := strconv.ParseUint(id, 10, 64)
	return n, err == nil && strconv.FormatUint(n, 10) == id
}

// cursorAt is the cursor of the issues after this one.
func cursorAt(g *group) string { return strconv.FormatInt(g.LastSeen.UnixNano(), 10) + "." + g.ID }

// parseCursor returns a group at the position of a cursor; nil for the beginning.
func parseCursor(cursor string) (*group, error) {
	if cursor == "" {
		return nil, nil
	}
	at, id, _ := strings.Cut(cursor, ".")
	nanos, err := strconv.ParseInt(at, 10, 64)
	n, ok := number(id)
	g := &group{id: n, Issue: wire.Issue{ID: id, LastSeen: time.Unix(0, nanos).UTC()}}
	if err != nil || !ok || cursorAt(g) != cursor {
		return nil, fault.Field("cursor", "%s is not a cursor of this list; use next as it was answered", fault.Quote(cursor))
	}
	return g, nil
}
