package store

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/berth-host/berth/host/event"
)

// TestUpgrade opens a file of every older schema, with an event in it.
func TestUpgrade(t *testing.T) {
	ctx := t.Context()
	for version := 1; version <= len(migrations); version++ {
		t.Run(fmt.Sprint("from ", version), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "berth.db")
			db, err := sql.Open(driver, path)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range migrations[:version] {
				if _, err := db.Exec(m); err != nil {
					t.Fatal(err)
				}
			}
			ev := makeEvent(t, "old")
			if _, err := db.Exec(`INSERT INTO events VALUES (41, ?, 'old', 't', '', 5, ?)`, ev.ID(), ev.Envelope()); err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec(fmt.Sprintf(`PRAGMA user_version = %d; PRAGMA application_id = %d`, version, applicationID)); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			s, err := Open(ctx, Config{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			var got int
			if err := s.reader.QueryRow(`PRAGMA user_version`).Scan(&got); err != nil || got != len(migrations) {
				t.Errorf("schema: got %d, %v, want %d", got, err, len(migrations))
			}
			receipts, err := s.Append(ctx, []*event.Event{makeEvent(t, "old"), makeEvent(t, "new")})
			if err != nil || receipts[0].Seq != 41 || !receipts[0].Duplicate || receipts[1].Seq <= 41 {
				t.Errorf("after the upgrade: got %+v, %v", receipts, err)
			}
			if err := s.KVSet(ctx, "p", "k", []byte("v")); err != nil {
				t.Error(err)
			}
		})
	}
}
