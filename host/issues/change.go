package issues

import (
	"context"
	"fmt"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// MaxNote bounds a note, in characters.
const MaxNote = 500

// Change changes the state of an issue for an operator, and returns the issue as Show does.
// The change is stored when it returns; after an error nothing has changed. Errors:
// fault.NotFound; fault.Conflict when an issue that has ended is to be acknowledged;
// fault.Invalid for a note that is too long. A change to the state that the issue has keeps
// its note unless there is a new one.
func (t *Tracker) Change(ctx context.Context, id string, to wire.IssueState, by, note string) (wire.Issue, error) {
	if n := len([]rune(note)); n > MaxNote {
		return wire.Issue{}, fault.Field("note", "has %d characters; at most %d are allowed", n, MaxNote)
	}
	t.storing.Lock() // no other change, and no write of the state before
	defer t.storing.Unlock()
	now := t.cfg.Now().Round(0).UTC()

	t.mu.Lock()
	g, err := t.find(id)
	if err == nil && !t.owns(g.Handler) {
		err = fault.New(fault.Unavailable, "the plugin %s runs on another host of the cluster, which keeps its issues; try again", g.Handler)
	}
	if err == nil && to == wire.IssueAcknowledged && !g.isActive() {
		err = fault.New(fault.Conflict, "the issue %s is %s: reopen it first", g.ID, g.State)
	}
	if err != nil {
		t.mu.Unlock()
		return wire.Issue{}, err
	}
	if g.State == to && note == "" {
		note = g.Note
	}
	next := g.snapshot()
	next.State, next.StateBy, next.StateAt, next.Note = to, by, &now, note
	t.mu.Unlock()

	if err := t.put(t.fenced(ctx, next.Handler), []event.Document{next.document()}); err != nil {
		return wire.Issue{}, fmt.Errorf("change the issue %s: %w", id, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID[g.id] != g {
		t.removed[g.id] = g.Handler // again: it was stored meanwhile
		return wire.Issue{}, fault.New(fault.NotFound, "the issue %s was removed meanwhile", id)
	}
	if to == wire.IssueOpen && !g.isActive() {
		t.activate(g, by, now, note)
	} else {
		t.setState(g, to, by, now, note)
	}
	return shown(g.details(now)), nil
}
