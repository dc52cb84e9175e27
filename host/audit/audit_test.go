package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func list(t *testing.T, path string) []Record {
	t.Helper()
	records, err := List(path, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func TestAppendThenList(t *testing.T) {
	path := filepath.Join(t.TempDir(), File)
	if got := list(t, path); len(got) != 0 {
		t.Errorf("without a file: got %v", got)
	}
	l := New(Config{Path: path})
	want := Record{ID: "1", Stage: End, Action: "disable", Target: "echo", Who: "ada", TokenID: "t1", Remote: "127.0.0.1:1", Request: "POST /x",
		Before: json.RawMessage(`{"state":"active"}`), After: json.RawMessage(`{"state":"disabled"}`), Status: 200, Result: "ok"}
	if err := l.Append(want); err != nil {
		t.Fatal(err)
	}
	got := list(t, path)
	if len(got) != 1 || got[0].At.IsZero() {
		t.Fatalf("got %+v", got)
	}
	got[0].At = time.Time{}
	if fmt.Sprintf("%+v", got[0]) != fmt.Sprintf("%+v", want) {
		t.Errorf("got %+v, want %+v", got[0], want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
}

func TestRecordsNameTheHost(t *testing.T) {
	path := filepath.Join(t.TempDir(), File)
	if err := New(Config{Path: path, Host: "berth-1"}).Append(Record{ID: "1"}); err != nil {
		t.Fatal(err)
	}
	if got := list(t, path); len(got) != 1 || got[0].Host != "berth-1" {
		t.Errorf("got %+v", got)
	}
}

// A record is one line of bounded length for any input.
func TestRecordsAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), File)
	long := strings.Repeat("\x01\n\"", 1<<20)
	field := json.RawMessage(`"` + strings.Repeat("x", 1<<20) + `"`)
	if err := New(Config{Path: path}).Append(Record{ID: long, Action: long, Target: long, Who: long, TokenID: long, Remote: long, Request: long, Error: long,
		Asked: field, Before: field, After: field}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || len(text) > maxLine || strings.Count(string(text), "\n") != 1 {
		t.Errorf("%d bytes, %d lines, %v", len(text), strings.Count(string(text), "\n"), err)
	}
	if got := list(t, path); len(got) != 1 || string(got[0].Asked) != cut {
		t.Errorf("got %d records", len(got))
	}
}

func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), File)
	l := New(Config{Path: path, MaxSize: 2000, Keep: 2})
	beside := New(Config{Path: path, MaxSize: 1, NoRotate: true})
	for i := range 200 {
		from := l
		if i%10 == 9 {
			from = beside
		}
		if err := from.Append(Record{ID: fmt.Sprint(i), Stage: End}); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 3 {
		t.Fatalf("got %v, %v", entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Size() > 2200 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", e.Name(), info, err)
		}
	}
	got := list(t, path)
	for i, r := range got {
		if want := fmt.Sprint(200 - len(got) + i); r.ID != want {
			t.Fatalf("record %d is %s, want %s", i, r.ID, want)
		}
	}
	if latest, err := List(path, 5); err != nil || len(latest) != 5 || latest[4].ID != "199" {
		t.Errorf("got %v, %v", latest, err)
	}
}

func TestUnsafeFileIsRefused(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"mode":      func(p string) error { return errors.Join(os.WriteFile(p, nil, 0o600), os.Chmod(p, 0o644)) },
		"directory": func(p string) error { return os.Mkdir(p, 0o700) },
		"link":      func(p string) error { return os.Symlink(p+".x", p) },
		"pipe":      func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"no parent": func(p string) error { return os.Remove(filepath.Dir(p)) },
	} {
		path := filepath.Join(t.TempDir(), "d", File)
		if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o700), make(path)); err != nil {
			t.Fatal(err)
		}
		if err := New(Config{Path: path}).Append(Record{ID: "1"}); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// brokenDisk fails one step, before or after performing it.
type brokenDisk struct {
	realDisk
	step  string
	after bool
	err   error
}

func (d *brokenDisk) at(step string, do func() error) error {
	if d.step != step {
		return do()
	}
	if d.after {
		if err := do(); err != nil {
			return err
		}
	}
	return d.err
}

func (d *brokenDisk) write(f *os.File, line []byte) error {
	return d.at("write", func() error { return d.realDisk.write(f, line) })
}

func (d *brokenDisk) sync(f *os.File) error {
	return d.at("sync", func() error { return d.realDisk.sync(f) })
}

func (d *brokenDisk) rename(from, to string) error {
	return d.at("rename", func() error { return d.realDisk.rename(from, to) })
}

func (d *brokenDisk) open(path string) (f *os.File, err error) {
	err = d.at("open", func() error { f, err = d.realDisk.open(path); return err })
	if err != nil && f != nil {
		err = errors.Join(err, f.Close())
	}
	return f, err
}

// Each step of an Append fails, once without effect and once after its effect: Append
// returns the error, and later records are intact.
func TestFailedStepLeavesLogIntact(t *testing.T) {
	for _, step := range []string{"open", "write", "sync", "rename"} {
		for _, after := range []bool{false, true} {
			for want, cause := range map[fault.Code]error{fault.Exhausted: syscall.ENOSPC, fault.Unavailable: syscall.EIO} {
				path := filepath.Join(t.TempDir(), File)
				l := New(Config{Path: path, MaxSize: 1, Keep: 9}) // every record rotates
				if err := l.Append(Record{ID: "first"}); err != nil {
					t.Fatal(err)
				}
				l.disk = &brokenDisk{step: step, after: after, err: cause}
				if err := l.Append(Record{ID: "second"}); !fault.Is(err, want) || !errors.Is(err, cause) {
					t.Errorf("%s, after %v: got %v, want %s", step, after, err, want)
				}
				l.disk = realDisk{}
				if err := l.Append(Record{ID: "third"}); err != nil {
					t.Errorf("%s, after %v: afterwards: %v", step, after, err)
				}
				got := list(t, path)
				if len(got) < 2 || got[0].ID != "first" || got[len(got)-1].ID != "third" {
					t.Errorf("%s, after %v: got %v", step, after, got)
				}
			}
		}
	}
}

// countingDisk counts writes and fsyncs.
type countingDisk struct {
	realDisk
	writes, syncs int
}

func (d *countingDisk) write(f *os.File, lines []byte) error {
	d.writes++
	return d.realDisk.write(f, lines)
}

func (d *countingDisk) sync(f *os.File) error {
	d.syncs++
	return d.realDisk.sync(f)
}

func TestSeveralRecordsTakeOneSync(t *testing.T) {
	path := filepath.Join(t.TempDir(), File)
	disk := new(countingDisk)
	l := New(Config{Path: path})
	l.disk = disk
	records := make([]Record, 100)
	for i := range records {
		records[i].ID = fmt.Sprint(i)
	}
	if err := l.AppendAll(records); err != nil {
		t.Fatal(err)
	}
	if disk.writes != 1 || disk.syncs != 1 {
		t.Errorf("%d writes and %d syncs", disk.writes, disk.syncs)
	}
	got := list(t, path)
	for i := range records {
		if len(got) != len(records) || got[i].ID != fmt.Sprint(i) {
			t.Fatalf("got %v", got)
		}
	}
}

func TestPartialLineDamagesNoOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), File)
	l := New(Config{Path: path})
	if err := l.Append(Record{ID: "1"}); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(`{"at":"2026-`)
	}
	if err := errors.Join(err, f.Close(), l.Append(Record{ID: "2"})); err != nil {
		t.Fatal(err)
	}
	if got := list(t, path); len(got) != 2 || got[1].ID != "2" {
		t.Errorf("got %v", got)
	}
}

func TestConcurrentAppends(t *testing.T) {
	path := filepath.Join(t.TempDir(), File)
	logs := []*Log{New(Config{Path: path}), New(Config{Path: path, NoRotate: true})}
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			if err := logs[i%2].Append(Record{ID: fmt.Sprint(i)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := list(t, path); len(got) != 40 {
		t.Errorf("got %d records", len(got))
	}
}

// A follower receives every record across rotations.
func TestFollowAcrossRotations(t *testing.T) {
	path := filepath.Join(t.TempDir(), File)
	l := New(Config{Path: path, MaxSize: 400})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	f, at, err := openEnd(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan string)
	done := make(chan error)
	go func() {
		done <- follow(ctx, path, f, at, func(r Record) error {
			seen <- r.ID
			return nil
		})
	}()
	for i := range 12 { // the file is not there at first
		if err := l.Append(Record{ID: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
		if got := <-seen; got != fmt.Sprint(i) {
			t.Fatalf("got %s, want %d", got, i)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(Older(path, 1)); err != nil {
		t.Errorf("nothing was rotated: %v", err)
	}
}

func TestChanges(t *testing.T) {
	r := func(id, stage string) Record { return Record{ID: id, Stage: stage} }
	var got []string
	for _, c := range Changes([]Record{r("gone", End), r("a", Begin), r("b", Begin), r("x", Refused), r("b", End), r("c", Begin), r("a", End)}) {
		got = append(got, c.ID+" "+c.Stage)
	}
	if want := "gone end, x refused, b end, c begin, a end"; strings.Join(got, ", ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// TestFindPages: the pages of a query, read one after the other, have every change that it
// selects, once, also across rotated files.
func TestFindPages(t *testing.T) {
	path := filepath.Join(t.TempDir(), File)
	l := New(Config{Path: path, MaxSize: 2 << 10})
	at := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	want := map[string]string{} // the ids of the changes by a query's name, oldest first
	for i := range 40 {
		r := Record{At: at.Add(time.Duration(i) * time.Minute), ID: fmt.Sprintf("c%02d", i), Stage: Begin, Action: "pause", Who: "ann", TokenID: "t1", Target: "x"}
		if i%2 == 0 {
			r.Action, r.Who, r.TokenID, r.Target = "disable", "bob", "t2", "y"
			want["bob"] += r.ID + " "
		}
		end := r
		end.Stage, end.Result = End, "ok"
		records := []Record{r, end}
		switch {
		case i%5 == 1:
			r.Stage = Refused
			records = []Record{r}
			want["refused"] += r.ID + " "
		case i == 7:
			records = records[:1]
			want["begun"] += r.ID + " "
		}
		if i >= 10 && i < 20 {
			want["time"] += r.ID + " "
		}
		want["all"] += r.ID + " "
		if err := l.AppendAll(records); err != nil {
			t.Fatal(err)
		}
	}
	for name, q := range map[string]spec.AuditQuery{
		"all": {}, "bob": {Who: "bob", Action: "disable", Target: "y"}, "refused": {Result: "refused"}, "begun": {Result: "begun"},
		"time": {Since: at.Add(10 * time.Minute), Until: at.Add(20 * time.Minute)},
	} {
		for _, q.Limit = range []int{1, 3, 100} {
			got := ""
			for q.Cursor = ""; ; {
				page, next, err := l.Changes(q)
				if err != nil {
					t.Fatal(err)
				}
				ids := ""
				for _, r := range page {
					ids += r.ID + " "
				}
				got = ids + got
				if q.Cursor = next; next == "" {
					break
				}
			}
			if got != want[name] {
				t.Errorf("%s by %d: got %s, want %s", name, q.Limit, got, want[name])
			}
		}
	}
	if list, _, err := Find(path, spec.AuditQuery{Who: "t2", Limit: 100}); err != nil || len(list) != 20 {
		t.Errorf("by the id of the token: %d, %v", len(list), err)
	}
	if _, _, err := Find(path, spec.AuditQuery{Cursor: "none", Limit: 1}); !fault.Is(err, fault.Invalid) {
		t.Errorf("an unknown cursor: %v", err)
	}
}
