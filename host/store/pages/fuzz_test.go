package pages

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzImage reads arbitrary files: it ends without a panic.
func FuzzImage(f *testing.F) {
	s := newSample(f, "PRAGMA page_size = 512; PRAGMA auto_vacuum = incremental")
	s.fill(30, 900)
	path := s.copyTo(f.TempDir())
	s.close()
	db, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	wal, err := os.ReadFile(path + "-wal")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(db, wal)
	f.Add(db, []byte{})
	f.Add(wal, db)
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, db, wal []byte) {
		path := filepath.Join(t.TempDir(), "x.db")
		for name, content := range map[string][]byte{path: db, path + "-wal": wal} {
			if err := os.WriteFile(name, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		im, err := Open(path, nil)
		if err != nil {
			return
		}
		if err := im.Close(); err != nil {
			t.Fatal(err)
		}
		all(t, path)
	})
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte{2, 1, 5})
	f.Add([]byte{4, 0, 23, 7, 'x'})
	f.Fuzz(func(t *testing.T, payload []byte) {
		values, err := decodeRecord(payload)
		if err != nil {
			return
		}
		size := 0
		for _, v := range values {
			switch v := v.(type) {
			case string:
				size += len(v)
			case []byte:
				size += len(v)
			}
		}
		if size > len(payload) {
			t.Errorf("%d bytes of values in a record of %d", size, len(payload))
		}
	})
}
