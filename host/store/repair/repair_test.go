package repair

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store"
	"github.com/berth-host/berth/host/store/schema"
)

// TestSoundStoreIsExportedWhole repairs a store without damage: nothing differs.
func TestSoundStoreIsExportedWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	makeStore(t, path)
	before := readFiles(t, path)
	report, err := Run(t.Context(), Config{Path: path, Output: path + ".repaired"})
	if err != nil {
		t.Fatal(err)
	}
	if !report.Lossless() || report.Damaged != 0 {
		t.Errorf("got %+v", report)
	}
	want, got := contentOf(t, path), contentOf(t, path+".repaired")
	for table := range want {
		if table == "stretches" { // in any order
			if len(got[table]) != len(want[table]) {
				t.Errorf("%d summaries, want %d", len(got[table]), len(want[table]))
			}
			continue
		}
		if !maps.Equal(got[table], want[table]) {
			t.Errorf("%s: got %d entries, want %d", table, len(got[table]), len(want[table]))
		}
	}
	for suffix, content := range readFiles(t, path) {
		if string(content) != string(before[suffix]) {
			t.Errorf("the file%s has changed", suffix)
		}
	}
	if info, err := os.Stat(path + ".repaired"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the new file: %v, %v", info, err)
	}
}

// rubbish fills b with bytes that depend on a seed.
func rubbish(b []byte, seed uint64) {
	state := seed | 1
	for i := range b {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		b[i] = byte(state)
	}
}

var handlers = []string{"steady", "failing", "new", "behind", "packed-0", "packed-1", "packed-2"}

// original is a sound store and what it has.
type original struct {
	files   contents
	content content
	entries []entry
	pending map[string]map[uint64]bool
	dead    map[string]bool
}

func newOriginal(t testing.TB) *original {
	t.Helper()
	path := filepath.Join(t.TempDir(), "berth.db")
	makeStore(t, path)
	o := &original{files: readFiles(t, path), content: contentOf(t, path), entries: entriesOf(t, path)}
	s := start(t, path)
	o.pending, o.dead = pending(t, s, handlers...), deadLetters(t, s)
	must(t, s.Close())
	if len(o.pending["behind"]) < 200 || len(o.pending["failing"]) < 60 || len(o.dead) < 4 || len(o.entries) < 550 {
		t.Fatalf("pending %d and %d, dead %d, entries %d", len(o.pending["behind"]), len(o.pending["failing"]), len(o.dead), len(o.entries))
	}
	return o
}

// deadLetters lists the dead letters of a store.
func deadLetters(t testing.TB, s *store.Store) map[string]bool {
	t.Helper()
	list := make(map[string]bool)
	dead, _, err := s.DeadLetters(t.Context(), event.DeadFilter{}, "", 1000)
	must(t, err)
	for _, d := range dead {
		list[fmt.Sprint(d.Handler, " ", d.Seq)] = true
	}
	return list
}

// TestDamagedPages overwrites random pages of a store. Every entry of the other pages is
// exported, nothing is invented, nothing that a handler had still to get is passed over,
// and every lost event is reported.
func TestDamagedPages(t *testing.T) {
	o := newOriginal(t)
	for seed := range uint64(16) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 13))
			files := maps.Clone(o.files)
			files[""] = slices.Clone(files[""])
			count := len(files[""]) / pageSize
			var bad []uint32
			for range 1 + random.IntN(8) {
				page := uint32(1 + random.IntN(count))
				if random.IntN(4) == 0 { // among the first are the roots, the schema and the map of pages
					page = uint32(1 + random.IntN(32))
				}
				part := files[""][int(page-1)*pageSize:][:pageSize]
				if random.IntN(2) == 0 {
					clear(part)
				} else {
					rubbish(part, random.Uint64())
				}
				bad = append(bad, page)
			}
			path := files.writeTo(t, t.TempDir())
			report, err := Run(t.Context(), Config{Path: path, Output: path + ".repaired"})
			if err != nil {
				t.Fatalf("damaged %v: %v", bad, err)
			}
			o.compare(t, path, report, func(e entry) bool {
				return !slices.ContainsFunc(e.pages, func(p uint32) bool { return slices.Contains(bad, p) })
			})
			if t.Failed() {
				t.Logf("damaged %v: %+v", bad, report)
			}
		})
	}
}

// compare checks a repaired store. intact reports whether an entry of the original was on
// sound pages.
func (o *original) compare(t *testing.T, path string, report Report, intact func(entry) bool) {
	t.Helper()
	output := path + ".repaired"
	got, keys := contentOf(t, output), keysOf(t, output)
	for _, e := range o.entries {
		if !keys[e.table+" "+e.text] && intact(e) && !slices.Contains(derived, e.table) {
			t.Errorf("%s %s on the pages %v is missing", e.table, e.text, e.pages)
		}
	}
	for _, table := range []string{"events", "outcome_blocks", "orders", "marks", "identity", "kv", "attempts", "documents"} {
		for text := range got[table] {
			// How far the log was trimmed is lost with the marks: then free pages have events.
			doubtful := report.uncertain[table]+report.outdated[table] > 0 || table == "events" && report.kept["marks"] == 0 || table == "kv" && len(report.Doubtful) > 0 || table == "marks" && strings.HasPrefix(text, "'lost'")
			if !o.content[table][text] && !doubtful && !(table == "identity" && report.kept["identity"] == 0) {
				t.Errorf("%s has %.100s, which was not there", table, text)
			}
		}
	}
	seqs := make(map[uint64]bool)
	for text := range got["events"] {
		seq, _, _ := strings.Cut(text, " ")
		n, err := strconv.ParseUint(seq, 10, 64)
		must(t, err)
		seqs[n] = true
	}
	for text := range o.content["events"] {
		seq, _, _ := strings.Cut(text, " ")
		n, err := strconv.ParseUint(seq, 10, 64)
		must(t, err)
		if !seqs[n] && !slices.ContainsFunc(report.Events, func(r Range) bool { return r.First <= n && n <= r.Last }) {
			t.Errorf("event %d is lost and not reported: %v", n, report.Events)
		}
	}
	if _, err := Aside(path, fixed), Replace(path, output, Aside(path, fixed)); err != nil {
		t.Errorf("Replace: %v", err)
	}
	o.continues(t, path, report, seqs)
}

// continues starts the repaired store in the place of the damaged one.
func (o *original) continues(t *testing.T, path string, report Report, seqs map[uint64]bool) {
	t.Helper()
	s := start(t, path) // the watermark of the damaged one accepts it
	defer s.Close()
	dead := deadLetters(t, s)
	after := pending(t, s, handlers...)
	replays := slices.ContainsFunc(report.Lost, func(l Loss) bool { return l.What == "replays" })
	unknown := slices.ContainsFunc(report.Lost, func(l Loss) bool { return l.What == "cursors" })
	for handler, events := range o.pending {
		if b, err := s.LoadBacklog(t.Context(), handler); err != nil || !b.Found && unknown {
			continue // it was reported that such handlers start like new ones
		}
		for seq := range events {
			again := replays && handler == "steady" && seq >= 180 && seq <= 200 // it had had them before
			if seqs[seq] && !after[handler][seq] && !again {
				t.Errorf("%s does not get event %d any more: %+v", handler, seq, report.Handlers)
			}
		}
		for seq := range after[handler] {
			if !events[seq] && len(report.Handlers) == 0 && report.Lossless() {
				t.Errorf("%s gets event %d again, and the report does not say it", handler, seq)
			}
		}
	}
	for name := range o.dead {
		handler, text, _ := strings.Cut(name, " ")
		seq, err := strconv.ParseUint(text, 10, 64)
		must(t, err)
		if b, err := s.LoadBacklog(t.Context(), handler); err == nil && !b.Found {
			continue
		}
		if seqs[seq] && !dead[name] && !after[handler][seq] {
			t.Errorf("the dead letter %s is lost", name)
		}
	}
	receipts, err := s.Append(t.Context(), []*event.Event{newEvent(t, 9999)})
	if err != nil || receipts[0].Seq <= lastEvent {
		t.Errorf("a new event: %+v, %v", receipts, err)
	}
	must(t, s.KVSet(t.Context(), "plugin-1", "after", []byte("x")))
	if _, err := s.Trim(t.Context(), lastEvent); err != nil {
		t.Errorf("Trim: %v", err)
	}
}

// TestDamagedTree destroys whole trees, the schema and the header.
func TestDamagedTree(t *testing.T) {
	o := newOriginal(t)
	dir := t.TempDir()
	db, err := sql.Open("sqlite", o.files.writeTo(t, dir))
	must(t, err)
	roots := make(map[string]uint32)
	for _, name := range []string{"events", "event_keys", "key_index", "outcome_blocks", "outcome_blocks_by_first", "deliveries", "deliveries_open", "deliveries_kept", "deliveries_by_seq", "cursors", "marks",
		"kv", "sqlite_autoindex_kv_1", "orders", "identity", "log_size", "skipped", "replays", "released",
		"attempts", "attempts_by_event", "attempts_with_logs", "attempt_logs", "documents"} {
		var root uint32
		must(t, db.QueryRow(`SELECT rootpage FROM sqlite_schema WHERE name = ?`, name).Scan(&root))
		roots[name] = root
	}
	must(t, db.Close())
	for _, tt := range []struct {
		name  string
		roots []string
		pages []uint32
		want  string // in a reported loss; "" for any
	}{
		{"the header", nil, []uint32{1}, ""},
		{"the header and the map of pages", nil, []uint32{1, 2}, ""},
		{"the map of pages", nil, []uint32{2}, ""},
		{"events", []string{"events"}, nil, ""},
		{"events and their index", []string{"events", "event_keys"}, nil, ""},
		{"blocks of outcomes", []string{"outcome_blocks"}, nil, ""},
		{"blocks of outcomes and their index", []string{"outcome_blocks", "outcome_blocks_by_first"}, nil, "blocks of up to 512 results"},
		{"deliveries", []string{"deliveries"}, nil, ""},
		{"deliveries and the open ones", []string{"deliveries", "deliveries_open"}, nil, ""},
		{"deliveries and their indexes", []string{"deliveries", "deliveries_open", "deliveries_kept", "deliveries_by_seq"}, nil, ""},
		{"cursors", []string{"cursors"}, nil, "positions of handlers may be lost"},
		{"marks", []string{"marks"}, nil, "marks"},
		{"marks and cursors", []string{"marks", "cursors"}, nil, ""},
		{"kv", []string{"kv"}, nil, ""},
		{"kv and its index", []string{"kv", "sqlite_autoindex_kv_1"}, nil, "how many is not known"},
		{"orders", []string{"orders"}, nil, ""},
		{"identity and log_size", []string{"identity", "log_size"}, nil, ""},
		{"replays", []string{"replays"}, nil, "replays"},
		{"attempts", []string{"attempts"}, nil, "part of the table attempts"},
		{"attempts and their indexes", []string{"attempts", "attempts_by_event", "attempts_with_logs", "attempt_logs"}, nil, "part of the table attempts"},
		{"replays and attempts", []string{"replays", "attempts", "attempts_by_event"}, nil, "replays"},
		{"documents", []string{"documents"}, nil, "part of the table documents"},
		{"skipped and released", []string{"skipped", "released"}, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := maps.Clone(o.files)
			files[""] = slices.Clone(files[""])
			bad := slices.Clone(tt.pages)
			for _, name := range tt.roots {
				bad = append(bad, roots[name])
			}
			for _, page := range bad {
				rubbish(files[""][(page-1)*pageSize:][:pageSize], uint64(page))
			}
			path := files.writeTo(t, t.TempDir())
			report, err := Run(t.Context(), Config{Path: path, Output: path + ".repaired"})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(fmt.Sprint(report.Lost), tt.want) {
				t.Errorf("got %v, want %q", report.Lost, tt.want)
			}
			o.compare(t, path, report, func(e entry) bool {
				return !slices.ContainsFunc(e.pages, func(p uint32) bool { return slices.Contains(bad, p) })
			})
		})
	}
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "berth.db")
	run := func(output string) error {
		_, err := Run(t.Context(), Config{Path: path, Output: output})
		return err
	}
	if err := run(path + ".new"); !fault.Is(err, fault.NotFound) {
		t.Errorf("no store: %v", err)
	}
	s := start(t, path)
	if err := run(path + ".new"); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("a store in use: %v", err)
	}
	must(t, s.Close())
	must(t, os.WriteFile(path+".taken", nil, 0o600))
	if err := run(path + ".taken"); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "exists") {
		t.Errorf("an output that exists: %v", err)
	}
	db, err := sql.Open("sqlite", path)
	must(t, err)
	_, err = db.Exec(fmt.Sprintf(`PRAGMA user_version = %d`, schema.Latest()+1))
	must(t, err)
	if err := run(path + ".new"); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "newer Berth") {
		t.Errorf("a newer store: %v", err)
	}
	_, err = db.Exec(`PRAGMA application_id = 77`)
	must(t, err)
	must(t, db.Close())
	if err := run(path + ".new"); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "not a store of Berth") {
		t.Errorf("another program's file: %v", err)
	}
	content := make([]byte, 20*pageSize)
	rubbish(content, 1)
	must(t, os.WriteFile(path, content, 0o600))
	if err := os.Remove(path + "-wal"); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if err := run(path + ".new"); !fault.Is(err, fault.Internal) || !strings.Contains(err.Error(), "nothing in") {
		t.Errorf("rubbish: %v", err)
	}
	must(t, os.WriteFile(path, nil, 0o600))
	if err := run(path + ".new"); !fault.Is(err, fault.Invalid) {
		t.Errorf("an empty file: %v", err)
	}
	entries, err := filepath.Glob(path + ".new*")
	if err != nil || len(entries) != 0 {
		t.Errorf("refused repairs have left %v, %v", entries, err)
	}
}

// TestEventWithAnotherSeqIsReported changes a bit in the Seq of the newest event, which nothing
// in its page contradicts: the acknowledged Seq is reported as lost, and the other as doubtful.
func TestEventWithAnotherSeqIsReported(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	makeStore(t, path)
	files := readFiles(t, path)
	at := seqAt(t, files[""], lastEvent)
	files[""][at] ^= 0x20 // 300 becomes 4,396
	path = files.writeTo(t, t.TempDir())
	report, err := Run(t.Context(), Config{Path: path, Output: path + ".repaired"})
	if err != nil {
		t.Fatal(err)
	}
	if want := []Range{{lastEvent, lastEvent}}; !slices.Equal(report.Events, want) {
		t.Errorf("lost events: got %v, want %v", report.Events, want)
	}
	if len(report.Doubtful) != 1 || !strings.Contains(report.Doubtful[0], "event 4396 ") {
		t.Errorf("doubtful: got %q", report.Doubtful)
	}
	s := start(t, path+".repaired")
	receipts, err := s.Append(t.Context(), []*event.Event{newEvent(t, lastEvent+1)})
	must(t, errors.Join(err, s.Close()))
	if receipts[0].Seq <= 4396 {
		t.Errorf("the next event has Seq %d", receipts[0].Seq)
	}
}

// seqAt returns the offset of the Seq of an event in a data file.
func seqAt(t *testing.T, file []byte, seq uint64) int {
	t.Helper()
	const leaf, header = 0x0d, 8
	key := binary.AppendUvarint(nil, seq) // the same bytes in another order
	slices.Reverse(key)
	key[0], key[1] = key[0]|0x80, key[1]&0x7f
	for page := 0; page < len(file); page += pageSize {
		if file[page] != leaf {
			continue
		}
		for i := range int(binary.BigEndian.Uint16(file[page+3:])) {
			cell := page + int(binary.BigEndian.Uint16(file[page+header+2*i:]))
			_, n := binary.Uvarint(file[cell:]) // the length of the entry
			if bytes.HasPrefix(file[cell+n:], key) && bytes.Contains(file[cell+n:page+pageSize], fmt.Appendf(nil, "key-%d", seq)) {
				return cell + n
			}
		}
	}
	t.Fatalf("event %d is not in the file", seq)
	return 0
}

// TestTrimmedEventsAreNotLost: the index of keys has entries of trimmed events, too. Those
// are no loss; an event that a dead letter kept is one.
func TestTrimmedEventsAreNotLost(t *testing.T) {
	const kept = 10
	path := filepath.Join(t.TempDir(), "berth.db")
	makeStore(t, path)
	db, err := sql.Open("sqlite", path)
	must(t, err)
	for seq := 1; seq <= lastEvent; seq++ {
		_, err := db.Exec(`INSERT INTO event_keys VALUES (?, ?)`, seq*7919, seq)
		must(t, err)
	}
	_, err = db.Exec(`UPDATE key_index SET merged = ?; PRAGMA wal_checkpoint(TRUNCATE)`, lastEvent)
	must(t, err)
	must(t, db.Close())
	content, err := os.ReadFile(path)
	must(t, err)
	damaged := 0
	for page := range slices.Chunk(content, pageSize) {
		if bytes.Contains(page, fmt.Appendf(nil, `{"n":%d,`, kept)) {
			clear(page)
			damaged++
		}
	}
	must(t, os.WriteFile(path, content, 0o600))
	report, err := Run(t.Context(), Config{Path: path, Output: path + ".repaired"})
	if err != nil || damaged == 0 {
		t.Fatalf("%d pages are damaged, %v", damaged, err)
	}
	lost := false
	for _, r := range report.Events {
		lost = lost || r.First <= kept && kept <= r.Last
		for seq := r.First; seq <= r.Last; seq++ {
			if seq < 80 && seq != kept && seq != 20 { // the leftovers of makeStore
				t.Errorf("event %d was trimmed and is reported as lost: %v", seq, report.Events)
			}
		}
	}
	if !lost {
		t.Errorf("event %d is lost and not reported: %v", kept, report.Events)
	}
}
