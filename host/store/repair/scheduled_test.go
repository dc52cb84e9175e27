package repair

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
)

// TestScheduledEventsAreExported: events that are not due yet and cancelled ones are in the new
// store, with their sizes. One that the log has as well, in old content, is not moved again.
func TestScheduledEventsAreExported(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "berth.db")
	s := start(t, path)
	var events []*event.Event
	for i, key := range []string{"first", "second", "gone", "logged"} {
		d := event.Draft{Type: "t", IdempotencyKey: key}
		if key != "logged" {
			d.Deferral.After = time.Duration(i+1) * time.Hour
		}
		ev, err := event.New(d)
		must(t, err)
		events = append(events, ev.WithOrigin(event.Origin{Only: "h"}))
	}
	_, err := s.Append(ctx, events)
	must(t, err)
	_, err = s.CancelScheduled(ctx, "gone")
	must(t, err)
	before, err := s.Status(ctx)
	must(t, err)
	must(t, s.Close())
	db, err := sql.Open("sqlite", path)
	must(t, err)
	_, err = db.Exec(`INSERT INTO scheduled (due, accepted_at, event_id, idempotency_key, type, subject, envelope, origin)
		SELECT 5, 5, idempotency_key, 'logged', type, subject, envelope, '' FROM events`)
	must(t, err)
	_, err = db.Exec(`UPDATE scheduled SET event_id = ? WHERE idempotency_key = 'logged'`, events[3].ID())
	must(t, err)
	must(t, db.Close())

	report, err := Run(ctx, Config{Path: path, Output: path + ".repaired"})
	must(t, err)
	if report.kept["scheduled"] != 4 {
		t.Errorf("kept %v", report.kept)
	}
	repaired := start(t, path+".repaired")
	defer repaired.Close()
	after, err := repaired.Status(ctx)
	must(t, err)
	if after.Scheduled != 2 || after.Bytes != before.Bytes || after.Events != 1 {
		t.Errorf("got %+v, want %+v", after, before)
	}
	list, _, err := repaired.ScheduledEvents(ctx, event.ScheduledQuery{Limit: 5}, "")
	must(t, err)
	if len(list) != 2 || list[0].Event.Envelope() != events[0].Envelope() || list[0].Event.Origin().Only != "h" {
		t.Errorf("got %+v", list)
	}
	if got, err := repaired.ScheduledEvent(ctx, "gone"); err != nil || got.Cancelled.IsZero() {
		t.Errorf("the cancelled one: got %+v, %v", got, err)
	}
}
