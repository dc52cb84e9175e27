package store

import (
	"bytes"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/store/logread"
	"github.com/berth-host/berth/host/store/schema"
)

// TestUpgrade opens a file of every older schema, with an event in it.
func TestUpgrade(t *testing.T) {
	ctx := t.Context()
	for version := 1; version <= schema.Latest(); version++ {
		t.Run(fmt.Sprint("from ", version), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "berth.db")
			db, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Upgrade(ctx, db, path, version); err != nil {
				t.Fatal(err)
			}
			ev := makeEvent(t, "old")
			if _, err := db.Exec(`INSERT INTO events (seq, event_id, idempotency_key, type, subject, appended_at, envelope) VALUES (41, ?, 'old', 't', '', 5, ?)`, ev.ID(), ev.Envelope()); err != nil {
				t.Fatal(err)
			}
			if version >= 3 {
				if _, err := db.Exec(`INSERT INTO kv (plugin, key, value) VALUES ('p', 'old', CAST('value' AS BLOB))`); err != nil {
					t.Fatal(err)
				}
			}
			if version >= 6 { // the writer of that time counted it
				if _, err := db.Exec(`UPDATE log_size SET events = 1, bytes = ?`, ev.Size()); err != nil {
					t.Fatal(err)
				}
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			// The doctor reads it before a start upgrades it.
			if found, err := logread.Check(ctx, path); err != nil || len(found.Pages)+len(found.Events)+len(found.Outcomes) > 0 {
				t.Errorf("Check: got %+v, %v", found, err)
			}
			var logged bytes.Buffer
			s, err := Open(ctx, Config{Window: newWindow(), Path: path, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.Close(); err != nil { // nothing logs after this
					t.Error(err)
				}
				said := strings.Contains(logged.String(), fmt.Sprintf("from_schema=%d to_schema=%d seq=41", version, schema.Latest()))
				if said != (version < schema.Latest()) {
					t.Errorf("logged: %s", &logged)
				}
			}()
			var got int
			if err := s.reader.QueryRow(`PRAGMA user_version`).Scan(&got); err != nil || got != schema.Latest() {
				t.Errorf("schema: got %d, %v, want %d", got, err, schema.Latest())
			}
			added := makeEvent(t, "new").WithOrigin(event.Origin{Publisher: spec.Publisher{Source: "s"}})
			receipts, err := s.Append(ctx, []*event.Event{makeEvent(t, "old"), added})
			if err != nil || receipts[0].Seq != 41 || !receipts[0].Duplicate || receipts[1].Seq <= 41 {
				t.Errorf("after the upgrade: got %+v, %v", receipts, err)
			}
			st, err := s.Status(ctx)
			if want := ev.Size() + added.Size(); err != nil || st.Bytes != want || st.Events != 2 {
				t.Errorf("the size: got %+v, %v, want %d bytes", st, err, want)
			}
			list, err := s.Events(ctx, event.Query{Type: "t", Limit: 5})
			if len(list) != 2 || err != nil || !list[1].Event.Origin().IsZero() || list[0].Event.Origin() != added.Origin() {
				t.Errorf("Events: got %+v, %v", list, err)
			}
			if err := s.KVSet(ctx, "p", "k", []byte("v")); err != nil {
				t.Error(err)
			}
			var usage int
			want := 1 + 1 + spec.KVEntry
			if version >= 3 {
				want += len("old") + len("value") + spec.KVEntry
			}
			if err := s.reader.QueryRow(`SELECT bytes FROM kv_usage WHERE plugin = 'p'`).Scan(&usage); err != nil || usage != want {
				t.Errorf("the state's size: got %d, %v, want %d", usage, err, want)
			}
		})
	}
}

// TestUpgradeCountsScheduledBytes upgrades a file of schema 13, which has an event that is not due
// yet and a cancelled one.
func TestUpgradeCountsScheduledBytes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Upgrade(t.Context(), db, path, 13); err != nil {
		t.Fatal(err)
	}
	waiting, cancelled := makeEvent(t, "waiting"), makeEvent(t, "cancelled")
	for i, ev := range []*event.Event{waiting, cancelled} {
		m := ev.Metadata()
		if _, err := db.Exec(`INSERT INTO scheduled (due, accepted_at, cancelled_at, event_id, idempotency_key, type, subject, envelope, origin)
			VALUES (1 << 62, 1, ?, ?, ?, ?, ?, ?, '')`, i, m.EventID, m.IdempotencyKey, string(ev.Type()), m.Subject, ev.Envelope()); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Config{Window: newWindow(), Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if st, err := s.Status(t.Context()); err != nil || st.ScheduledBytes != waiting.Size() || st.Bytes != waiting.Size()+cancelled.Size() {
		t.Errorf("got %+v, %v, want %d scheduled bytes", st, err, waiting.Size())
	}
}
