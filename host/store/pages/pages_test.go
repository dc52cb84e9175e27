package pages

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	_ "modernc.org/sqlite"
	"pgregory.net/rapid"
)

// sample is a database with a table with rowids, one without, and an index.
type sample struct {
	t    testing.TB
	path string
	db   *sql.DB
	conn *sql.Conn
}

const tables = `
	CREATE TABLE things (id INTEGER PRIMARY KEY, a, b);
	CREATE INDEX things_by_a ON things (a);
	CREATE TABLE pairs (k, n INTEGER, v, PRIMARY KEY (k, n)) WITHOUT ROWID;`

// newSample returns an open database; settings are PRAGMAs that come before its tables.
func newSample(t testing.TB, settings string) *sample {
	t.Helper()
	dir, err := os.MkdirTemp("", "pages")
	if err != nil {
		t.Fatal(err)
	}
	s := &sample{t: t, path: filepath.Join(dir, "x.db")}
	if s.db, err = sql.Open("sqlite", s.path); err != nil {
		t.Fatal(err)
	}
	if s.conn, err = s.db.Conn(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.exec(settings + "; PRAGMA journal_mode = wal; PRAGMA synchronous = off;" + tables)
	return s
}

func (s *sample) exec(text string, args ...any) {
	s.t.Helper()
	if _, err := s.conn.ExecContext(context.Background(), text, args...); err != nil {
		s.t.Fatal(err)
	}
}

// fill adds n things and pairs, with values up to size bytes.
func (s *sample) fill(n, size int) {
	s.t.Helper()
	s.exec("BEGIN")
	for i := range n {
		text := fmt.Sprintf("%06d-%s", i, strings.Repeat("x", i*37%size))
		s.exec(`INSERT INTO things (a, b) VALUES (?, ?)`, text, []byte(text))
		s.exec(`INSERT INTO pairs VALUES (?, ?, ?)`, fmt.Sprint("key", i%7), i, text)
	}
	s.exec("COMMIT")
}

// copyTo copies the files, as they are without a checkpoint.
func (s *sample) copyTo(dir string) string {
	s.t.Helper()
	path := filepath.Join(dir, "copy.db")
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(s.path + suffix)
		if err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(path+suffix, content, 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	return path
}

func (s *sample) close() {
	_ = s.conn.Close()
	_ = s.db.Close()
	_ = os.RemoveAll(filepath.Dir(s.path))
}

// content is everything in a database, by table: the key and the values of each entry.
type content map[string][]string

func text(key int64, values []any) string { return fmt.Sprintf("%d %#v", key, values) }

// bySQL reads the content with SQLite.
func (s *sample) bySQL() content {
	s.t.Helper()
	c := make(content)
	for table, query := range map[string]string{"things": `SELECT id, NULL, a, b FROM things ORDER BY id`, "pairs": `SELECT 0, k, n, v FROM pairs ORDER BY k, n`} {
		result, err := s.conn.QueryContext(context.Background(), query)
		if err != nil {
			s.t.Fatal(err)
		}
		for result.Next() {
			var key int64
			values := make([]any, 3)
			if err := result.Scan(&key, &values[0], &values[1], &values[2]); err != nil {
				s.t.Fatal(err)
			}
			for i, v := range values {
				if b, ok := v.([]byte); ok && b == nil {
					values[i] = []byte{}
				}
			}
			c[table] = append(c[table], text(key, values))
		}
		if err := result.Err(); err != nil {
			s.t.Fatal(err)
		}
		result.Close()
	}
	return c
}

// byPages reads the trees of a file, without those pages that no sound page refers to.
func byPages(t testing.TB, im *Image) (content, map[string][]Gap) {
	t.Helper()
	c, gaps := make(content), make(map[string][]Gap)
	roots := make(map[string]uint32)
	list, err := im.Tree(1, false, func(e Entry) error {
		roots[e.Values[1].(string)] = uint32(e.Values[3].(int64))
		return nil
	})
	if err != nil || len(list) > 0 {
		t.Fatalf("the schema: %v, %v", list, err)
	}
	for _, name := range []string{"things", "pairs", "things_by_a"} {
		if gaps[name], err = im.Tree(roots[name], name != "things", func(e Entry) error {
			c[name] = append(c[name], text(e.Key, e.Values))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return c, gaps
}

func open(t testing.TB, path string) *Image {
	t.Helper()
	im, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { im.Close() })
	return im
}

// TestReadsWhatSQLiteReads compares the content of random databases.
func TestReadsWhatSQLiteReads(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.SampledFrom([]int{512, 1024, 4096, 16384}).Draw(rt, "page")
		vacuum := rapid.SampledFrom([]string{"none", "incremental", "full"}).Draw(rt, "vacuum")
		s := newSample(t, fmt.Sprintf("PRAGMA page_size = %d; PRAGMA auto_vacuum = %s", size, vacuum))
		defer s.close()
		value := rapid.Custom(func(rt *rapid.T) any {
			switch rapid.IntRange(0, 5).Draw(rt, "kind") {
			case 0:
				return nil
			case 1:
				return rapid.Int64().Draw(rt, "integer")
			case 2:
				return int64(rapid.IntRange(-300, 300).Draw(rt, "small"))
			case 3:
				return rapid.Float64().Draw(rt, "float")
			case 4:
				return strings.Repeat("é", rapid.IntRange(0, 3*size).Draw(rt, "text"))
			}
			return make([]byte, rapid.SampledFrom([]int{0, 1, size - 40, size - 35, size, 5 * size}).Draw(rt, "blob"))
		})
		for i := range rapid.IntRange(0, 12).Draw(rt, "things") {
			s.exec(`INSERT OR REPLACE INTO things VALUES (?, ?, ?)`, rapid.Int64Range(-5, 200).Draw(rt, "id"), value.Draw(rt, "a"), value.Draw(rt, "b"))
			s.exec(`INSERT OR REPLACE INTO pairs VALUES (?, ?, ?)`, fmt.Sprint(i%3), rapid.Int64Range(0, 50).Draw(rt, "n"), value.Draw(rt, "v"))
		}
		if rapid.Bool().Draw(rt, "delete") {
			s.exec(`DELETE FROM things WHERE id % 3 = 1`)
			s.exec(`DELETE FROM pairs WHERE n % 2 = 1`)
		}
		if rapid.Bool().Draw(rt, "checkpoint") {
			s.exec(`PRAGMA wal_checkpoint(truncate)`)
		}
		im, err := Open(s.path, nil)
		if err != nil {
			rt.Fatal(err)
		}
		defer im.Close()
		want := s.bySQL()
		got, gaps := byPages(t, im)
		for _, table := range []string{"things", "pairs"} {
			if len(gaps[table]) > 0 || !reflect.DeepEqual(got[table], want[table]) {
				rt.Fatalf("%s: got %d entries and %v, want %d", table, len(got[table]), gaps[table], len(want[table]))
			}
		}
		if len(got["things_by_a"]) != len(want["things"]) {
			rt.Fatalf("the index has %d entries, want %d", len(got["things_by_a"]), len(want["things"]))
		}
		if err := im.Orphans(func(o Orphan) (bool, error) { return true, fmt.Errorf("page %d", o.Page) }); err != nil {
			rt.Fatalf("orphan in a sound file: %v", err)
		}
	})
}

// owner lists which pages each entry of a sound file needs.
func owners(t testing.TB, path string) map[string][]uint32 {
	t.Helper()
	im := open(t, path)
	list := make(map[string][]uint32)
	for page := uint32(1); page <= im.Count(); page++ {
		if im.isMap(page) || im.free.has(page) {
			continue
		}
		if o, ok := im.orphan(page); ok {
			for _, e := range o.Entries {
				name := fmt.Sprint(len(e.Values), o.Index, " ", text(e.Key, e.Values))
				list[name] = append([]uint32{page}, o.Continued...) // all values of the page
			}
		}
	}
	return list
}

// all reads everything that can be read. Blank says of an entry that it is doubtful.
func all(t testing.TB, path string) map[string]*Entry {
	t.Helper()
	im := open(t, path)
	got := make(map[string]*Entry)
	add := func(index bool, e Entry) {
		got[fmt.Sprint(len(e.Values), index, " ", text(e.Key, e.Values))] = &e
	}
	roots := make(map[uint32]bool)
	_, err := im.Tree(1, false, func(e Entry) error {
		add(false, e)
		if len(e.Values) == 5 {
			if root, ok := e.Values[3].(int64); ok {
				roots[uint32(root)] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for root := range roots {
		for _, index := range []bool{false, true} {
			if _, err := im.Tree(root, index, func(e Entry) error {
				add(index, e)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := im.Orphans(func(o Orphan) (bool, error) {
		for _, e := range o.Entries {
			e.Blank = e.Blank || !o.Certain
			add(o.Index, e)
		}
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

// TestDamagedPagesCostOnlyThemselves overwrites random pages: every entry on the other pages
// is found, and none that was not there.
func TestDamagedPagesCostOnlyThemselves(t *testing.T) {
	for _, vacuum := range []string{"none", "incremental"} {
		s := newSample(t, "PRAGMA auto_vacuum = "+vacuum)
		s.fill(150, 6000)
		s.exec(`DELETE FROM things WHERE id % 5 = 0`)
		s.exec(`PRAGMA wal_checkpoint(truncate)`)
		path := s.copyTo(t.TempDir())
		s.close()
		sound, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want := owners(t, path)
		if len(want) < 350 {
			t.Fatalf("%d entries", len(want))
		}
		if got := all(t, path); len(got) != len(want) {
			t.Fatalf("%s: got %d entries of the sound file, want %d", vacuum, len(got), len(want))
		}
		for seed := range uint64(20) {
			random := rand.New(rand.NewPCG(seed, 7))
			damaged := slices.Clone(sound)
			var bad []uint32
			for range 1 + random.IntN(12) {
				page := 1 + random.Uint32N(uint32(len(sound)/4096))
				if random.IntN(4) == 0 {
					page = 1 + random.Uint32N(16) // the schema, the roots, the map
				}
				bad = append(bad, page)
				part := damaged[(page-1)*4096:][:4096]
				switch random.IntN(3) {
				case 0:
					clear(part)
				case 1:
					for i := range part {
						part[i] = byte(random.Uint32())
					}
				case 2:
					for i := range part {
						part[i] = 0xa5
					}
				}
			}
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			got := all(t, path)
			for name, pages := range want {
				if got[name] == nil && !slices.ContainsFunc(pages, func(p uint32) bool { return slices.Contains(bad, p) }) {
					t.Fatalf("%s on the pages %v was not found; damaged: %v", name[:min(len(name), 60)], pages, bad)
				}
			}
			for name, e := range got {
				// Zeros at the end of a value show only as a doubt, and so does a deleted entry on
				// a free page when the list of free pages is lost.
				if want[name] == nil && !e.Blank {
					t.Fatalf("%s was never there; damaged: %v", name[:min(len(name), 200)], bad)
				}
			}
		}
	}
}

func TestTruncatedFile(t *testing.T) {
	s := newSample(t, "PRAGMA auto_vacuum = incremental")
	s.fill(200, 3000)
	s.exec(`PRAGMA wal_checkpoint(truncate)`)
	path := s.copyTo(t.TempDir())
	s.close()
	want := owners(t, path)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []int64{2, 3, 10} {
		size := info.Size()/part + 1000 // in the middle of a page
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		got, lost := all(t, path), 0
		for name, pages := range want {
			there := !slices.ContainsFunc(pages, func(p uint32) bool { return int64(p)*4096 > size })
			if there && got[name] == nil {
				t.Errorf("%s on the pages %v was not found", name[:60], pages)
			}
			if !there {
				lost++
			}
		}
		if len(got) == 0 || lost == 0 {
			t.Errorf("1/%d: %d entries found, %d lost, want both", part, len(got), lost)
		}
	}
}

// frames returns the offsets of the frames of a WAL.
func frames(wal []byte) (list []int) {
	for at := walHeader; at+frameHeader+4096 <= len(wal); at += frameHeader + 4096 {
		list = append(list, at)
	}
	return list
}

// TestDamagedWAL damages the WAL at each frame: SQLite ignores the frames after it, and here
// only the damaged frame's page is outdated.
func TestDamagedWAL(t *testing.T) {
	s := newSample(t, "PRAGMA auto_vacuum = incremental")
	s.exec(`PRAGMA wal_autocheckpoint = 0`)
	s.fill(50, 500)
	s.exec(`PRAGMA wal_checkpoint(truncate)`)
	for i := range 20 {
		s.exec(`INSERT INTO things (a, b) VALUES (?, 'new')`, i)
	}
	path := s.copyTo(t.TempDir())
	defer s.close()
	wal, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	whole := all(t, path)
	list := frames(wal)
	if len(list) < 40 {
		t.Fatalf("%d frames", len(list))
	}
	for i, at := range list {
		damaged := slices.Clone(wal)
		copy(damaged[at+frameHeader+100:], "damage of this frame")
		if err := os.WriteFile(path+"-wal", damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		im := open(t, path)
		page := binary.BigEndian.Uint32(wal[at:])
		later := slices.ContainsFunc(list[i+1:], func(next int) bool { return binary.BigEndian.Uint32(wal[next:]) == page })
		lastOfAll := i == len(list)-1
		switch {
		case lastOfAll: // that transaction was never committed, as far as anyone can know
			if im.WAL.Damaged != 0 {
				t.Errorf("frame %d: %+v, want a torn end", i, im.WAL)
			}
		case im.WAL.Damaged != 1 || im.WAL.Unknown != 0 || im.outdated[page] == later:
			t.Errorf("frame %d of page %d (later: %v): %+v, outdated %v", i, page, later, im.WAL, im.outdated)
		}
		got := all(t, path)
		for name := range got {
			if whole[name] == nil && !im.outdated[page] && !lastOfAll {
				t.Errorf("frame %d: %s was never there", i, name)
			}
		}
		if later && len(got) != len(whole) {
			t.Errorf("frame %d: got %d entries, want all %d: the page has a later frame", i, len(got), len(whole))
		}
	}

	clear(wal[:walHeader])
	if err := os.WriteFile(path+"-wal", wal, 0o600); err != nil {
		t.Fatal(err)
	}
	im := open(t, path)
	if !im.WAL.Header || im.WAL.Damaged != 1 { // the first frame's checksum continues the header's
		t.Errorf("a damaged header: %+v", im.WAL)
	}
	if got := all(t, path); len(got) < len(whole)-10 {
		t.Errorf("a damaged header: got %d of %d entries", len(got), len(whole))
	}
}

// TestOldFramesAreIgnored has a WAL that was started again: the frames of the former one are
// still behind its own.
func TestOldFramesAreIgnored(t *testing.T) {
	s := newSample(t, "PRAGMA auto_vacuum = incremental")
	defer s.close()
	s.exec(`PRAGMA wal_autocheckpoint = 0`)
	s.fill(50, 500)
	s.exec(`DELETE FROM pairs`)
	s.exec(`PRAGMA wal_checkpoint(restart)`)
	s.exec(`INSERT INTO things (a) VALUES ('new')`)
	im := open(t, s.path)
	if info, err := os.Stat(s.path + "-wal"); err != nil || info.Size() < 20*4096 || im.WAL.Used > 10 || im.WAL.Damaged != 0 {
		t.Fatalf("%+v, %v: the WAL has no old frames", im.WAL, err)
	}
	got, _ := byPages(t, im)
	if want := s.bySQL(); !reflect.DeepEqual(got["things"], want["things"]) || len(got["pairs"]) != 0 {
		t.Errorf("got %d things and %d pairs, want %d and none", len(got["things"]), len(got["pairs"]), len(want["things"]))
	}
}

// TestSaltsWithoutHeader: a WAL without its header has the salts of its first frame or, if that
// is damaged, of the newest frames that are right; the others are left of the WAL before.
func TestSaltsWithoutHeader(t *testing.T) {
	of := func(generation uint32) (s salts) {
		binary.BigEndian.PutUint32(s[:], generation)
		s[7] = byte(generation) * 31
		return s
	}
	right := func(generation uint32) frame { return frame{salts: of(generation), right: true} }
	wrong := func(generation uint32) frame { return frame{salts: of(generation)} }
	for _, tt := range []struct {
		name   string
		first  uint32
		frames []frame
		want   uint32
	}{
		{"no frame", 7, nil, 7},
		{"the first is whole", 7, []frame{right(7), right(7), wrong(6), right(6)}, 7},
		{"only the first has wrong content", 7, []frame{wrong(7), right(7), right(6)}, 7},
		{"the first is zero", 0, []frame{wrong(0), right(7), wrong(6), right(6)}, 7},
		{"frames of an older one before those of a newer", 0, []frame{wrong(0), right(6), right(7)}, 7},
		{"all of the newest are damaged", 7, []frame{wrong(7), wrong(7), right(6), right(6)}, 7},
		{"a damaged frame has other salts", 0, []frame{wrong(0), right(6), wrong(9)}, 6},
		{"the number begins again", 5, []frame{wrong(5), right(1<<32 - 1), right(0)}, 0},
	} {
		if got := saltsOf(of(tt.first), tt.frames); got != of(tt.want) {
			t.Errorf("%s: got %x, want %x", tt.name, got, of(tt.want))
		}
	}
}
