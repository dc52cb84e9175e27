package pglog

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/fault"
)

// seenEvery is the time between two writes of Config.Seen.
const seenEvery = time.Second

// seen is the content of the file Config.Seen.
type seen struct {
	Store   string `json:"store"`
	Seq     uint64 `json:"seq"`
	EventID string `json:"event_id,omitempty"` // of that Seq; "" when it is not known
}

// checkSeen compares the log with what this host has seen before it was started. It refuses
// another log: fault.Invalid. A log that has lost events is used, and the loss is logged:
// nothing in memory depends on them. The caller holds tail.
func (l *Log) checkSeen(ctx context.Context, tx pgx.Tx, h *Head) error {
	if l.cfg.Seen == "" {
		return nil
	}
	var s seen
	text, err := os.ReadFile(l.cfg.Seen)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return fault.New(fault.Invalid, "read what this host has seen of the log: %w; remove %s to go on without it", err, l.cfg.Seen)
	}
	if s.Store != h.Store {
		return fault.New(fault.Invalid, "this host has worked with another log (%s) than that of bus.postgres (%s): name its database and "+
			"schema again, or remove %s to join this one", s.Store, h.Store, l.cfg.Seen)
	}
	if lost, err := compareWith(ctx, tx, h, s.Seq, s.EventID); err != nil || lost == nil {
		return err
	} else {
		l.log.Error("the database has lost events since this host was stopped", "error", lost, "last_seq", s.Seq, "present_seq", h.Seq)
	}
	return nil
}

// compareWith returns an error when the log does not have an event that was seen.
func compareWith(ctx context.Context, tx pgx.Tx, h *Head, seq uint64, id string) (lost, err error) {
	if h.Seq < seq {
		return errLost("event %d was there, but the log ends at %d", seq, h.Seq), nil
	}
	if id == "" || h.Trimmed >= seq {
		return nil, nil
	}
	var same bool
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM events WHERE seq = $1 AND coalesce(event_id, idempotency_key) = $2)`,
		signed(seq), []byte(id)).Scan(&same)
	if err == nil && !same {
		return errLost("event %d (%s) was there, but is not any more", seq, id), nil
	}
	return nil, err
}

// writeSeen writes the file Config.Seen, if something has changed.
func (l *Log) writeSeen() {
	if l.cfg.Seen == "" {
		return
	}
	l.tail.Lock()
	s := seen{Store: l.store, Seq: l.window.Last()}
	if l.newest.Event != nil && l.newest.Seq == s.Seq {
		s.EventID = l.newest.Event.ID()
	}
	l.tail.Unlock()
	if s == l.written {
		return
	}
	text, err := json.Marshal(s)
	if err == nil {
		err = os.WriteFile(l.cfg.Seen+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(l.cfg.Seen+".new", l.cfg.Seen)
	}
	if err != nil {
		l.log.Warn("what this host has seen of the log is not noted", "error", err)
		return
	}
	l.written = s
}
