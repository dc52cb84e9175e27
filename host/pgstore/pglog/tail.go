package pglog

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore/conn"
)

const (
	topic    = "events"               // of notifications
	pollWait = 100 * time.Millisecond // without one
	tailPage = 512                    // events that are read at once
	// tailLimit bounds one look at the log, so that a lost connection does not stop it.
	tailLimit = 5 * time.Second
)

// follow adds the events of other hosts to the window until the log is closed.
func (l *Log) follow() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	l.running.Go(func() {
		<-l.closing
		stop()
	})
	notified := l.db.Notified(topic)
	tick, note := time.NewTicker(pollWait), time.NewTicker(seenEvery)
	defer tick.Stop()
	defer note.Stop()
	defer l.writeSeen()
	failing := false
	for {
		select {
		case <-notified:
		case <-tick.C:
		case <-note.C:
			l.writeSeen()
		case <-l.closing:
			return
		}
		err := l.CatchUp(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			l.log.Error("events of other hosts not read; retrying", "error", err)
		}
		failing = err != nil
	}
}

// advance adds events that this host has just appended after base. When the window does not
// end there, because other hosts have appended before, it reads all of them.
func (l *Log) advance(base uint64, records []event.Record) {
	l.tail.Lock()
	if l.window.Last() == base {
		l.add(records)
		l.tail.Unlock()
		return
	}
	l.tail.Unlock()
	l.CatchUp(context.Background()) //nolint:errcheck // follow repeats it, and logs
}

// add adds events to the window. The caller holds tail.
func (l *Log) add(records []event.Record) {
	if len(records) > 0 {
		l.newest = records[len(records)-1]
		l.window.Add(records)
	}
}

// CatchUp adds to the window what was appended, by any host, before the call. Whoever appends
// by other means than Append calls it after the commit, and Notify.
func (l *Log) CatchUp(ctx context.Context) error {
	l.tail.Lock()
	defer l.tail.Unlock()
	for {
		limited, cancel := context.WithTimeout(ctx, tailLimit)
		more, err := l.read(limited)
		cancel()
		if err != nil || !more {
			return err
		}
	}
}

// Notify tells other hosts that events were appended.
func (l *Log) Notify() { l.db.Notify(topic) }

// timelineOf is the timeline of the server, which changes when a standby is promoted, or ""
// where the server does not say.
const timelineOf = `SELECT coalesce(` + conn.Timeline + `, '')`

// read adds one page of new events to the window. The caller holds tail.
func (l *Log) read(ctx context.Context) (more bool, err error) {
	last := l.window.Last()
	var h *Head
	var timeline string
	var records []event.Record
	var lost error
	err = l.db.Read(ctx, "follow the log", func(ctx context.Context, tx pgx.Tx) (err error) {
		lost = nil
		if h, err = ReadHead(ctx, tx); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, timelineOf).Scan(&timeline); err != nil {
			return err
		}
		if lost, err = l.compare(ctx, tx, h, timeline); err != nil || lost != nil || h.Seq == last {
			return err
		}
		records, err = readRange(ctx, tx, last+1, h.Seq, tailPage)
		return err
	})
	var bad *event.Unreadable
	switch {
	case lost != nil && err == nil:
		l.log.Error("the database has lost events", "error", lost, "last_seq", last, "present_seq", h.Seq)
		l.setHead(h, timeline)
		if l.cfg.Lost != nil {
			l.cfg.Lost(lost)
		}
		return false, nil
	case errors.As(err, &bad): // readers get the error from Read, and an operator may skip it
		l.add(records)
		l.newest = event.Record{}
		l.window.Reset(h.Seq)
		return false, nil
	case err != nil:
		return false, err
	}
	l.timeline = timeline
	if h.Trimmed > l.trimmed { // before those that wait see the new events
		l.trimmed = h.Trimmed
		l.window.Trim(h.Trimmed + 1)
	}
	l.add(records)
	switch {
	case h.Seq == l.window.Last():
		return false, nil
	case len(records) > 0:
		return true, nil
	}
	// The last events up to there were trimmed before they were read.
	l.newest = event.Record{}
	l.window.Reset(h.Seq)
	return false, nil
}

// compare returns an error when the database is not the one that this host has read from, with
// more events: it was set back, or a standby was promoted that had not got everything. Commits
// are in the order of Seq, so that a log that has the newest event that was seen has them all.
func (l *Log) compare(ctx context.Context, tx pgx.Tx, h *Head, timeline string) (lost, err error) {
	last := l.window.Last()
	switch {
	case h.Store != l.store:
		return errLost("it is another log than before: the schema was replaced"), nil
	case h.Seq < last:
		return errLost("event %d was there, but the log ends at %d", last, h.Seq), nil
	case timeline == l.timeline || l.newest.Event == nil:
		return nil, nil
	}
	l.log.Warn("the PostgreSQL server is another one, or was restored; comparing the log", "timeline_before", l.timeline,
		"timeline", timeline)
	return compareWith(ctx, tx, h, l.newest.Seq, l.newest.Event.ID())
}

func errLost(format string, args ...any) error {
	return fault.New(fault.Unavailable, "the PostgreSQL database has lost acknowledged events: "+format+"; it was restored from a backup, or "+
		"failed over to a standby that commits do not wait for (set synchronous_standby_names); Berth goes on from the events that are "+
		"there: publish the missing ones again", args...)
}

// reset has the window begin at the present end of the log.
func (l *Log) reset(ctx context.Context) error {
	l.tail.Lock()
	defer l.tail.Unlock()
	return l.db.Read(ctx, "read the end of the log", func(ctx context.Context, tx pgx.Tx) error {
		h, err := ReadHead(ctx, tx)
		if err != nil {
			return err
		}
		var timeline string
		if err := tx.QueryRow(ctx, timelineOf).Scan(&timeline); err != nil {
			return err
		}
		if err := l.checkSeen(ctx, tx, h); err != nil {
			return err
		}
		newest, err := readRange(ctx, tx, h.Seq, h.Seq, 1)
		var bad *event.Unreadable
		if err != nil && !errors.As(err, &bad) {
			return err
		}
		l.setHead(h, timeline)
		if len(newest) > 0 {
			l.newest = newest[0]
		}
		return nil
	})
}

func (l *Log) setHead(h *Head, timeline string) {
	l.store, l.trimmed, l.timeline, l.newest = h.Store, h.Trimmed, timeline, event.Record{}
	l.window.Reset(h.Seq)
}
