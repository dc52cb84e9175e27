package search

import (
	"context"
	"strings"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// MaxNodes bounds the events of a tree.
const MaxNodes = 500

// node is an event of a tree, without its data: an event may have 1 MiB.
type node struct {
	event    wire.EventNode
	children []*node
}

func newNode(rec event.Record) *node {
	meta := rec.Event.Metadata()
	return &node{event: wire.EventNode{EventID: strings.Clone(meta.EventID), Seq: rec.Seq, EventType: strings.Clone(string(rec.Event.Type())),
		Subject: strings.Clone(meta.Subject), Source: strings.Clone(meta.Source), Time: meta.Time, CopyOf: strings.Clone(rec.Event.Origin().CopyOf)}}
}

// Tree returns the chain of events that an event belongs to: the event that began it, and
// what that has caused, directly and indirectly, also what is not due yet. An edited copy counts
// as caused by the event that it is a copy of. due is when an event is due that has no Seq. A chain that is longer than the bounds of a request, or than
// MaxNodes, is truncated; the way from its root to the event is never left out.
func (s *Searcher) Tree(ctx context.Context, rec event.Record, due time.Time) (wire.EventTree, error) {
	path, err := s.ancestors(ctx, rec)
	if err != nil {
		return wire.EventTree{}, err
	}
	byID := make(map[string]*node)
	var above *node
	for _, rec := range path {
		n := newNode(rec)
		if rec.Seq == 0 {
			n.event.DueAt = &due
		}
		byID[n.event.EventID] = n
		if above != nil {
			above.children = append(above.children, n)
		}
		above = n
	}
	root := byID[path[0].Event.ID()]
	left := s.budget()
	truncated := false
	if path[0].Seq > 0 { // what is not due yet has caused nothing
		if truncated, err = s.descend(ctx, path[0], byID, &left); err == nil && !truncated {
			truncated, err = s.descendLater(ctx, path[0], byID, &left)
		}
	}
	if err != nil {
		return wire.EventTree{}, err
	}
	tree := wire.EventTree{Truncated: truncated}
	tree.Root, err = s.nodeOf(ctx, root, left.until)
	return tree, err
}

// ancestors returns the events from the beginning of a chain to an event of it. The chain
// begins where a cause is not in the log.
func (s *Searcher) ancestors(ctx context.Context, rec event.Record) ([]event.Record, error) {
	path := []event.Record{rec}
	for range event.MaxHops {
		cause := causeOf(path[0])
		if cause == "" {
			break
		}
		parent, err := s.Log.Event(ctx, cause)
		if fault.Is(err, fault.NotFound) {
			break
		}
		if err != nil {
			return nil, err
		}
		if parent.Event.ID() != cause || parent.Seq >= path[0].Seq && path[0].Seq > 0 { // a producer's text that names something else
			break
		}
		path = append([]event.Record{parent}, path...)
	}
	return path, nil
}

// causeOf returns the id of the event that an event was caused by, or is a copy of; "" for
// none.
func causeOf(rec event.Record) string {
	if cause := rec.Event.Metadata().CausationID; cause != "" {
		return cause
	}
	return rec.Event.Origin().CopyOf
}

// descend adds the events after a root that the nodes have caused. A cause precedes what it
// has caused, so that one pass finds all.
func (s *Searcher) descend(ctx context.Context, root event.Record, byID map[string]*node, left *budget) (truncated bool, err error) {
	correlation := root.Event.Metadata().CorrelationID
	var size chunk
	for from := root.Seq + 1; ; {
		list, err := s.Log.Read(ctx, from, size.next())
		if err != nil || len(list) == 0 {
			return false, err
		}
		for _, rec := range list {
			size.add(rec)
			from = rec.Seq + 1
			if parent := parentOf(rec, byID, correlation); parent != nil {
				if len(byID) >= MaxNodes {
					return true, nil
				}
				parent.add(newNode(rec), byID)
			}
			if left.spend() {
				more, err := s.Log.Read(ctx, from, 1)
				return len(more) > 0, err
			}
		}
	}
}

// parentOf returns the node that has caused an event which is no node yet, or nil.
func parentOf(rec event.Record, byID map[string]*node, correlation string) *node {
	if byID[rec.Event.ID()] != nil || rec.Event.Metadata().CorrelationID != correlation {
		return nil
	}
	return byID[causeOf(rec)]
}

func (n *node) add(child *node, byID map[string]*node) {
	byID[child.event.EventID] = child
	n.children = append(n.children, child)
}

// descendLater adds the events that are not due yet and that the nodes have caused, the first due
// first.
func (s *Searcher) descendLater(ctx context.Context, root event.Record, byID map[string]*node, left *budget) (truncated bool, err error) {
	if s.Schedule == nil {
		return false, nil
	}
	correlation := root.Event.Metadata().CorrelationID
	var size chunk
	for cursor := ""; ; {
		list, next, err := s.Schedule.ScheduledEvents(ctx, event.ScheduledQuery{Limit: size.next()}, cursor)
		if err != nil {
			return false, err
		}
		for i, e := range list {
			rec := event.Record{Event: e.Event}
			size.add(rec)
			if parent := parentOf(rec, byID, correlation); parent != nil {
				if len(byID) >= MaxNodes {
					return true, nil
				}
				child := newNode(rec)
				child.event.DueAt = &e.Due
				parent.add(child, byID)
			}
			if left.spend() {
				return i+1 < len(list) || next != "", nil
			}
		}
		if cursor = next; cursor == "" {
			return false, nil
		}
	}
}

// nodeOf converts a node and those below it. Deliveries are counted until a time, and those of
// an event that has left the log meanwhile are not.
func (s *Searcher) nodeOf(ctx context.Context, n *node, until time.Time) (wire.EventNode, error) {
	out := n.event
	out.Children = make([]wire.EventNode, 0, len(n.children))
	if out.Seq > 0 && time.Now().Before(until) {
		records, err := s.Log.Read(ctx, out.Seq, 1)
		if err != nil {
			return out, err
		}
		if len(records) == 1 && records[0].Seq == out.Seq {
			list, err := s.Deliveries.Deliveries(ctx, records[0])
			if err != nil {
				return out, err
			}
			counts := Count(list)
			out.DeliveryCounts = &counts
		}
	}
	for _, child := range n.children {
		below, err := s.nodeOf(ctx, child, until)
		if err != nil {
			return out, err
		}
		out.Children = append(out.Children, below)
	}
	return out, nil
}

// Count counts deliveries by status.
func Count(list []wire.Delivery) (c wire.DeliveryCounts) {
	for _, d := range list {
		switch event.Status(d.Status) {
		case event.StatusOK:
			c.OK++
		case event.StatusDead:
			c.Dead++
		case event.StatusRetrying:
			c.Retrying++
		case event.StatusDelivering:
			c.Delivering++
		default:
			c.Pending++
		}
	}
	return c
}
