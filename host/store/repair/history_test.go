package repair

import (
	"database/sql"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/schema"
)

// killed returns the files of a store whose process was killed: with a WAL of 30 events that
// is not in the data file yet.
func killed(t *testing.T) contents {
	t.Helper()
	path := filepath.Join(t.TempDir(), "berth.db")
	s := start(t, path)
	appendTo(t, s, 1, 100)
	must(t, s.Close())
	s = start(t, path)
	defer func() { must(t, s.Close()) }()
	for n := 101; n <= 130; n++ {
		appendTo(t, s, n, n)
		must(t, s.SetCursor(t.Context(), event.Cursor{Name: "handler/a", Seq: uint64(n)}))
	}
	return readFiles(t, path)
}

func appendTo(t *testing.T, s *store.Store, from, to int) {
	t.Helper()
	var list []*event.Event
	for n := from; n <= to; n++ {
		list = append(list, newEvent(t, n))
	}
	_, err := s.Append(t.Context(), list)
	must(t, err)
}

// repaired repairs files and returns the report, the events and the cursor of handler a.
func repairOf(t *testing.T, files contents) (report Report, events int, cursor uint64) {
	t.Helper()
	path := files.writeTo(t, t.TempDir())
	report, err := Run(t.Context(), Config{Path: path, Output: path + ".repaired"})
	must(t, err)
	events = len(contentOf(t, report.Output)["events"])
	must(t, Replace(path, report.Output, Aside(path, fixed)))
	s := start(t, path)
	defer s.Close()
	cursor, _, err = s.Cursor(t.Context(), "handler/a")
	must(t, err)
	receipts, err := s.Append(t.Context(), []*event.Event{newEvent(t, 5000)})
	if err != nil || receipts[0].Seq != 131 {
		t.Errorf("the next event: %+v, %v, want Seq 131", receipts, err)
	}
	return report, events, cursor
}

// TestWALOfAKilledProcess repairs a store with a WAL: whole, damaged, without its header, and
// lost. The watermark says what was acknowledged.
func TestWALOfAKilledProcess(t *testing.T) {
	files := killed(t)
	if len(files["-wal"]) < 60*pageSize {
		t.Fatalf("the WAL has %d bytes", len(files["-wal"]))
	}
	with := func(change func(wal []byte) []byte) contents {
		changed := maps.Clone(files)
		changed["-wal"] = change(slices.Clone(files["-wal"]))
		return changed
	}

	t.Run("whole", func(t *testing.T) {
		report, events, cursor := repairOf(t, files)
		if !report.Lossless() || events != 130 || cursor != 130 {
			t.Errorf("%d events, cursor %d, %+v", events, cursor, report)
		}
	})
	t.Run("one frame", func(t *testing.T) {
		report, events, _ := repairOf(t, with(func(wal []byte) []byte {
			clear(wal[32+60*(24+pageSize)+200:][:300]) // of about 170; behind them are frames of before
			return wal
		}))
		if report.WAL.Damaged == 0 || events < 129 {
			t.Errorf("%d events, %+v; SQLite reads about half of them", events, report)
		}
	})
	t.Run("the header", func(t *testing.T) {
		report, events, _ := repairOf(t, with(func(wal []byte) []byte {
			clear(wal[:32])
			return wal
		}))
		if !report.WAL.Header || events < 129 {
			t.Errorf("%d events, %+v; SQLite reads 100", events, report)
		}
	})
	t.Run("the first block of the disk", func(t *testing.T) {
		report, events, _ := repairOf(t, with(func(wal []byte) []byte {
			clear(wal[:4096])
			return wal
		}))
		if !report.WAL.Header || report.WAL.Unknown == 0 || report.Lossless() || events < 129 {
			t.Errorf("%d events, %+v; SQLite reads 100", events, report)
		}
	})
	t.Run("all of it is zero", func(t *testing.T) {
		report, events, _ := repairOf(t, with(func(wal []byte) []byte {
			clear(wal)
			return wal
		}))
		if !report.WAL.Header || report.WAL.Unknown < 60 || events != 100 {
			t.Errorf("%d events, %+v", events, report.WAL)
		}
	})
	t.Run("lost", func(t *testing.T) {
		report, events, _ := repairOf(t, with(func([]byte) []byte { return nil }))
		text := fmt.Sprint(report.Lost)
		if events != 100 || !strings.Contains(text, "events 101 to 130: unreadable") || !strings.Contains(text, "acknowledged writes are missing") {
			t.Errorf("%d events, %s", events, text)
		}
	})
	t.Run("the end is torn", func(t *testing.T) {
		report, events, _ := repairOf(t, with(func(wal []byte) []byte { return wal[:len(wal)-100] }))
		if report.WAL.Damaged != 0 || events != 130 || !strings.Contains(fmt.Sprint(report.Lost), "the last 1 of") {
			t.Errorf("%d events, %+v", events, report)
		}
	})
}

// TestWatermarkOfAnotherStore: it says nothing about the events of this one, and the report
// says that a start will refuse the store beside it.
func TestWatermarkOfAnotherStore(t *testing.T) {
	files, other := killed(t), killed(t)
	files[datafile.WatermarkSuffix] = other[datafile.WatermarkSuffix]
	files["-wal"] = nil
	path := files.writeTo(t, t.TempDir())
	report, err := Run(t.Context(), Config{Path: path, Output: path + ".repaired"})
	must(t, err)
	if len(report.Lost) != 1 || report.Lost[0].What != "watermark" || report.Last != 100 {
		t.Errorf("got %+v, last %d", report.Lost, report.Last)
	}
	must(t, Replace(path, report.Output, Aside(path, fixed)))
	if _, err := store.Open(t.Context(), store.Config{Path: path, Window: bus.NewWindow(bus.WindowConfig{})}); !fault.Is(err, fault.Conflict) {
		t.Errorf("Open: got %v", err)
	}
}

// TestStoresOfOlderSchemas repairs a store of each schema, with its header and without.
func TestStoresOfOlderSchemas(t *testing.T) {
	for version := 1; version <= schema.Latest(); version++ {
		for _, header := range []bool{true, false} {
			t.Run(fmt.Sprintf("schema %d, header %v", version, header), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "berth.db")
				db, err := datafile.Create(path)
				must(t, err)
				must(t, schema.Upgrade(t.Context(), db, path, version))
				ev := newEvent(t, 7)
				m := ev.Metadata()
				exec(t, db, `INSERT INTO events (seq, event_id, idempotency_key, type, subject, appended_at, envelope) VALUES (41, ?, ?, ?, ?, 1, ?)`, m.EventID, m.IdempotencyKey, string(ev.Type()), m.Subject, ev.Envelope())
				exec(t, db, `INSERT INTO cursors VALUES ('handler/h', 41)`)
				if version >= 2 {
					exec(t, db, `INSERT INTO deliveries (handler, seq, status, attempts, result, error_class, error_message, duration, fuel, at, due)
						VALUES ('h', 41, 'dead', 3, '', 'trap', 'm', 1, 2, 3, 0)`)
				}
				if version >= 3 {
					exec(t, db, `INSERT INTO kv (plugin, key, value) VALUES ('p', 'k', CAST('value' AS BLOB))`)
				}
				must(t, db.Close())
				if !header {
					content, err := os.ReadFile(path)
					must(t, err)
					clear(content[:100])
					must(t, os.WriteFile(path, content, 0o600))
				}
				report, err := Run(t.Context(), Config{Path: path, Output: path + ".repaired"})
				must(t, err)
				if len(report.Lost) > 0 {
					t.Errorf("lost: %v", report.Lost)
				}
				got := contentOf(t, report.Output)
				if len(got["events"]) != 1 || len(got["cursors"]) != 1 || version >= 2 && len(got["deliveries"]) != 1 ||
					version >= 3 && (len(got["kv"]) != 1 || len(got["kv_usage"]) != 1) {
					t.Errorf("got %v", got)
				}
				must(t, Replace(path, report.Output, Aside(path, fixed)))
				s := start(t, path)
				defer s.Close()
				receipts, err := s.Append(t.Context(), []*event.Event{newEvent(t, 7)})
				if err != nil || !receipts[0].Duplicate || receipts[0].Seq != 41 {
					t.Errorf("the key is not known: %+v, %v", receipts, err)
				}
			})
		}
	}
}

func exec(t *testing.T, db *sql.DB, text string, args ...any) {
	t.Helper()
	_, err := db.Exec(text, args...)
	must(t, err)
}

// TestDamagedWALAccountsForEveryEvent damages the WAL anywhere: each acknowledged event is
// exported or reported as lost, also when a page is as it was before and contradicts nothing.
func TestDamagedWALAccountsForEveryEvent(t *testing.T) {
	files := killed(t)
	for _, seed := range []uint64{1, 2, 3, 4, 30, 46, 84, 94, 96, 174, 227, 250, 291, 305} {
		random := rand.New(rand.NewPCG(seed, 5))
		wal := slices.Clone(files["-wal"])
		switch random.IntN(3) {
		case 0:
			for range 1 + random.IntN(20) {
				wal[random.IntN(len(wal))] ^= 1 << random.IntN(8)
			}
		case 1:
			from := random.IntN(len(wal)/4096) * 4096
			clear(wal[from:min(len(wal), from+4096*(1+random.IntN(8)))])
		default:
			wal = wal[:random.IntN(len(wal))]
		}
		damaged := maps.Clone(files)
		damaged["-wal"] = wal
		report, events, _ := repairOf(t, damaged)
		if lost := count(report.Events); uint64(events)+lost != 130 || lost > 0 && report.Lossless() {
			t.Errorf("seed %d: %d events are exported, and %d are lost: %+v", seed, events, lost, report)
		}
	}
}
