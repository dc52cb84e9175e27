package archive_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/backup/archive"
	"github.com/berth-host/berth/host/fault"
)

// contents are the files of an archive, in order of their names.
type contents map[string][]byte

func (c contents) manifest() archive.Manifest {
	m := archive.Manifest{Format: archive.Format, Berth: "1.2.3", CreatedAt: time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC),
		Store:   archive.Store{ID: strings.Repeat("a", 32), Seq: 7, Writes: 9, Schema: 9},
		Watched: []archive.Watched{{Path: "plugins", Files: "watched/0"}}, Excluded: []string{"admin.token"}}
	for _, name := range slices.Sorted(maps.Keys(c)) {
		m.Files = append(m.Files, archive.File{Name: name, Size: int64(len(c[name])), SHA256: fmt.Sprintf("%x", sha256.Sum256(c[name]))})
	}
	return m
}

func (c contents) open(name string) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(c[name])), nil
}

// archived returns the archive of the files.
func (c contents) archived(t interface {
	Helper()
	Fatal(...any)
}) []byte {
	t.Helper()
	w, err := archive.NewWriter(c.manifest())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := w.Write(&out, c.open); err != nil {
		t.Fatal(err)
	}
	if int64(out.Len()) != w.Size() {
		t.Fatal("the archive has ", out.Len(), " bytes, and Size is ", w.Size())
	}
	return out.Bytes()
}

// collector is a Sink in memory.
type collector struct {
	began archive.Manifest
	files contents
}

func (c *collector) Begin(m archive.Manifest) error {
	c.began, c.files = m, make(contents)
	return nil
}

func (c *collector) Create(f archive.File) (io.WriteCloser, error) {
	return &collected{c: c, name: f.Name}, nil
}

type collected struct {
	bytes.Buffer
	c    *collector
	name string
}

func (f *collected) Close() error {
	f.c.files[f.name] = f.Bytes()
	return nil
}

func example() contents {
	return contents{"berth.db": bytes.Repeat([]byte("page"), 129), "tokens/x.json": []byte("{}"), "event_handlers.yaml": nil,
		".store/sha256/a.wasm": bytes.Repeat([]byte{0}, 512)}
}

// TestArchiveRoundTrip reads archives of any files back, also in small pieces.
func TestArchiveRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		files := contents(rapid.MapOfN(rapid.StringMatching(`([a-z]{1,5}\.d/){0,2}[a-z][a-z0-9-]{0,20}\.f`),
			rapid.SliceOfN(rapid.Byte(), 0, 1500), 0, 6).Draw(t, "files"))
		w, err := archive.NewWriter(files.manifest())
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := w.Write(&out, files.open); err != nil {
			t.Fatal(err)
		}
		var in io.Reader = &out
		if rapid.Bool().Draw(t, "one byte at a time") {
			in = iotest.OneByteReader(in)
		}
		var got collector
		m, err := archive.Read(in, &got)
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("%+v", files.manifest())
		if fmt.Sprintf("%+v", m) != want || fmt.Sprintf("%+v", got.began) != want {
			t.Errorf("got %+v, want %s", m, want)
		}
		if !maps.EqualFunc(got.files, files, bytes.Equal) {
			t.Errorf("got %v, want %v", got.files, files)
		}
	})
}

// TestEveryByteCounts flips a bit of every byte of an archive, cuts it at many lengths and
// appends a byte: each is refused.
func TestEveryByteCounts(t *testing.T) {
	whole := example().archived(t)
	if _, err := archive.Read(bytes.NewReader(whole), archive.Discard{}); err != nil {
		t.Fatal(err)
	}
	refused := func(what string, text []byte) {
		t.Helper()
		if _, err := archive.Read(bytes.NewReader(text), archive.Discard{}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v, want a refusal", what, err)
		}
	}
	for i := range whole {
		changed := bytes.Clone(whole)
		changed[i] ^= 1 << (i % 8)
		refused(fmt.Sprint("byte ", i, " is altered"), changed)
		if i%13 == 0 {
			refused(fmt.Sprint("it is cut at ", i), whole[:i])
		}
	}
	refused("a byte follows", append(bytes.Clone(whole), 0))
	refused("a block follows", append(bytes.Clone(whole), make([]byte, 512)...))
}

// TestTarReadsArchive compares an archive with what the standard reader finds in it.
func TestTarReadsArchive(t *testing.T) {
	files := example()
	r := tar.NewReader(bytes.NewReader(files.archived(t)))
	got := make(contents)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg || h.Mode != 0o600 || h.Uid != 0 || !h.ModTime.Equal(files.manifest().CreatedAt) {
			t.Errorf("got %+v", h)
		}
		if got[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	sum := fmt.Sprintf("%x  manifest.json\n", sha256.Sum256(got["manifest.json"]))
	if string(got["manifest.sha256"]) != sum {
		t.Errorf("manifest.sha256 is %q, want %q", got["manifest.sha256"], sum)
	}
	delete(got, "manifest.json")
	delete(got, "manifest.sha256")
	if !maps.EqualFunc(got, files, bytes.Equal) {
		t.Errorf("got %v", got)
	}
}

// TestUnsafeManifestIsRefused: a manifest that names a file outside of the directory, twice,
// or of an impossible size is refused by the writer and, in a complete archive, by Read
// before the sink has anything.
func TestUnsafeManifestIsRefused(t *testing.T) {
	digest := fmt.Sprintf("%x", sha256.Sum256(nil))
	file := func(name string) archive.File { return archive.File{Name: name, SHA256: digest} }
	for what, change := range map[string]func(m *archive.Manifest){
		"parent":          func(m *archive.Manifest) { m.Files = []archive.File{file("../x")} },
		"parent within":   func(m *archive.Manifest) { m.Files = []archive.File{file("a/../../x")} },
		"absolute":        func(m *archive.Manifest) { m.Files = []archive.File{file("/etc/x")} },
		"empty":           func(m *archive.Manifest) { m.Files = []archive.File{file("")} },
		"dot":             func(m *archive.Manifest) { m.Files = []archive.File{file(".")} },
		"trailing slash":  func(m *archive.Manifest) { m.Files = []archive.File{file("a/")} },
		"backslash":       func(m *archive.Manifest) { m.Files = []archive.File{file(`..\x`)} },
		"drive":           func(m *archive.Manifest) { m.Files = []archive.File{file(`c:x`)} },
		"control":         func(m *archive.Manifest) { m.Files = []archive.File{file("a\x00b")} },
		"no ASCII":        func(m *archive.Manifest) { m.Files = []archive.File{file("ä")} },
		"long":            func(m *archive.Manifest) { m.Files = []archive.File{file(strings.Repeat("x", 101))} },
		"twice":           func(m *archive.Manifest) { m.Files = []archive.File{file("a"), file("a")} },
		"twice by case":   func(m *archive.Manifest) { m.Files = []archive.File{file("a"), file("A")} },
		"manifest":        func(m *archive.Manifest) { m.Files = []archive.File{file("manifest.json")} },
		"file below file": func(m *archive.Manifest) { m.Files = []archive.File{file("a/b"), file("a")} },
		"negative size":   func(m *archive.Manifest) { m.Files[0].Size = -1 },
		"sizes overflow":  func(m *archive.Manifest) { m.Files[0].Size, m.Files[1].Size = 1<<54, 1<<63-1 },
		"short digest":    func(m *archive.Manifest) { m.Files[0].SHA256 = "00" },
		"upper digest":    func(m *archive.Manifest) { m.Files[0].SHA256 = strings.ToUpper(digest) },
		"too many":        func(m *archive.Manifest) { m.Files = make([]archive.File, archive.MaxFiles+1) },
		"no time":         func(m *archive.Manifest) { m.CreatedAt = time.Time{} },
		"fraction":        func(m *archive.Manifest) { m.CreatedAt = m.CreatedAt.Add(1) },
		"no format":       func(m *archive.Manifest) { m.Format = 0 },
	} {
		m := example().manifest()
		change(&m)
		if _, err := archive.NewWriter(m); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: the writer: got %v", what, err)
		}
		text := archive.Forge(m)
		sink := new(collector)
		if _, err := archive.Read(bytes.NewReader(text), sink); !fault.Is(err, fault.Invalid) || sink.files != nil {
			t.Errorf("%s: Read: got %v, and the sink has %v", what, err, sink.files)
		}
	}
	m := example().manifest()
	m.Format = archive.Format + 1
	if _, err := archive.Read(bytes.NewReader(archive.Forge(m)), archive.Discard{}); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "use that version") {
		t.Errorf("a newer format: got %v", err)
	}
}

// TestLargeSizes compares the header of a file of more than 8 GiB with the standard reader's.
func TestLargeSizes(t *testing.T) {
	for _, size := range []int64{0, 1, 1<<33 - 1, 1 << 33, 1 << 40} {
		h := archive.Header("berth.db", size, time.Unix(1e9, 0))
		got, err := tar.NewReader(bytes.NewReader(h[:])).Next()
		if err != nil || got.Size != size || got.Name != "berth.db" {
			t.Errorf("%d: got %+v, %v", size, got, err)
		}
	}
}

// TestErrorsOfOthersAreKept: an error of the source and of the sink is no damage.
func TestErrorsOfOthersAreKept(t *testing.T) {
	whole := example().archived(t)
	broken := errors.New("broken")
	if _, err := archive.Read(io.MultiReader(bytes.NewReader(whole[:3000]), iotest.ErrReader(broken)), archive.Discard{}); !errors.Is(err, broken) {
		t.Errorf("the source: got %v", err)
	}
	if _, err := archive.Read(bytes.NewReader(whole), brokenSink{broken}); !errors.Is(err, broken) {
		t.Errorf("the sink: got %v", err)
	}
	w, err := archive.NewWriter(example().manifest())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(io.Discard, func(string) (io.ReadCloser, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("the writer: got %v", err)
	}
	short := func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("")), nil }
	if err := w.Write(io.Discard, short); err == nil {
		t.Error("a file that is shorter than its size was written")
	}
}

type brokenSink struct{ err error }

func (brokenSink) Begin(archive.Manifest) error                  { return nil }
func (s brokenSink) Create(archive.File) (io.WriteCloser, error) { return nil, s.err }

// FuzzRead holds that Read never panics, and accepts only what the writer writes.
func FuzzRead(f *testing.F) {
	f.Add(example().archived(f))
	f.Add(contents{}.archived(f))
	f.Add([]byte("PK"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var got collector
		m, err := archive.Read(bytes.NewReader(text), &got)
		if err != nil {
			return
		}
		w, err := archive.NewWriter(m)
		if err != nil {
			t.Fatal(err)
		}
		if w.Size() < int64(len(text))-archive.MaxManifest {
			t.Errorf("an archive of %d bytes was read, and has %d", len(text), w.Size())
		}
		for _, file := range m.Files {
			if fmt.Sprintf("%x", sha256.Sum256(got.files[file.Name])) != file.SHA256 {
				t.Errorf("%s does not have its digest", file.Name)
			}
		}
	})
}
