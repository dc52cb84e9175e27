package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/berth-host/berth/host/fault"
)

// racing is a disk on which other programs act right before each rename.
type racing struct {
	realDisk
	others []func() // one for each rename
}

func (d *racing) in() {
	if len(d.others) > 0 {
		d.others[0]()
		d.others = d.others[1:]
	}
}

func (d *racing) create(from, to string) error {
	d.in()
	return d.realDisk.create(from, to)
}

func (d *racing) swap(a, b string) (bool, error) {
	d.in()
	return d.realDisk.swap(a, b)
}

func TestReplaceRestoresConcurrentRenames(t *testing.T) {
	for name, others := range map[string][]string{"once": {"theirs"}, "while it is put back": {"first", "theirs"}, "and again": {"1", "2", "3", "theirs"}} {
		for _, there := range []bool{true, false} {
			dir := t.TempDir()
			path := filepath.Join(dir, "c.yaml")
			var old []byte
			if there {
				old = []byte("old")
				write(t, path, "old")
			}
			d := &racing{}
			for _, text := range others {
				d.others = append(d.others, func() {
					write(t, path+".new", text)
					if err := os.Rename(path+".new", path); err != nil {
						t.Error(err)
					}
				})
			}
			err := Replacer{disk: d}.Replace(path, old, []byte("mine"))
			if !fault.Is(err, fault.Conflict) || !errors.Is(err, ErrChanged) {
				t.Errorf("%s: got %v, want a conflict", name, err)
			}
			want := "theirs"
			if !there {
				want = others[0] // nothing is put in the place of a file that has come
			}
			if got, _ := os.ReadFile(path); string(got) != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
			if entries, _ := os.ReadDir(dir); len(entries) != 1 {
				t.Errorf("%s: left behind: %v", name, entries)
			}
		}
	}
}

func TestReplaceKeepsContentAfterTooManyExchanges(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "c.yaml")
	write(t, path, "old")
	d := &racing{}
	for i := range exchanges + 1 {
		d.others = append(d.others, func() {
			write(t, path+".new", fmt.Sprint("theirs ", i))
			if err := os.Rename(path+".new", path); err != nil {
				t.Error(err)
			}
		})
	}
	err := Replacer{disk: d}.Replace(path, []byte("old"), []byte("mine"))
	if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "an earlier content is in "+dir) {
		t.Errorf("got %v", err)
	}
}

func TestReplaceRefusesFileOpenForWriting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	write(t, path, "old")
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if !beingWritten(f) && !detectsWriters(t, path) {
		t.Log("this system does not report writers; only renames are detected")
		f.Close()
		return
	}
	if err := (Replacer{}).Replace(path, []byte("old"), []byte("mine")); !errors.Is(err, ErrChanged) {
		t.Errorf("got %v, want that it is open for writing", err)
	}
	if _, err := f.WriteString("new"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := (Replacer{}).Replace(path, []byte("new"), []byte("mine")); err != nil {
		t.Error(err)
	}
}

func detectsWriters(t *testing.T, path string) bool {
	t.Helper()
	_, err := read(path)
	return errors.Is(err, ErrChanged)
}

func TestLockIsExclusive(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "here")
	path := filepath.Join(dir, "c.yaml")
	var wg sync.WaitGroup
	inside, peak := 0, 0
	var mu sync.Mutex
	for range 8 {
		wg.Go(func() {
			unlock, err := Lock(path)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			inside++
			peak = max(peak, inside)
			mu.Unlock()
			mu.Lock()
			inside--
			mu.Unlock()
			unlock()
		})
	}
	wg.Wait()
	if peak != 1 {
		t.Errorf("%d locks were held at a time", peak)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
	// A link leads to the lock of the file itself.
	link := filepath.Join(t.TempDir(), "link.yaml")
	write(t, path, "x")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	unlock, err := Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	entered := make(chan struct{})
	go func() {
		defer close(entered)
		u, err := Lock(link)
		if err != nil {
			t.Error(err)
			return
		}
		u()
	}()
	select {
	case <-entered:
		t.Error("the link was locked as well")
	default:
	}
	unlock()
	<-entered
}
