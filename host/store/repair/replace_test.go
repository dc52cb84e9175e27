package repair

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/fault"
)

var fixed = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func TestReplaceKeepsTheDamagedFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	makeStore(t, path)
	_, err := Run(t.Context(), Config{Path: path, Output: path + ".repaired"})
	must(t, err)
	aside := Aside(path, fixed)
	if aside != path+".damaged-20260304T050607.000000Z" {
		t.Errorf("got %s", aside)
	}
	s := start(t, path)
	if err := Replace(path, path+".repaired", aside); !fault.Is(err, fault.Conflict) {
		t.Errorf("a store in use: %v", err)
	}
	must(t, s.Close())
	before := readFiles(t, path)
	must(t, Replace(path, path+".repaired", aside))
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(filepath.Join(aside, "berth.db"+suffix))
		if err != nil || string(content) != string(before[suffix]) {
			t.Errorf("the damaged file%s: %d bytes, %v", suffix, len(content), err)
		}
	}
	s = start(t, path)
	must(t, s.Close())
	if _, err := Run(t.Context(), Config{Path: path, Output: path + ".again"}); err != nil {
		t.Errorf("a second repair: %v", err)
	}
}

// TestLossesAreCounted: one is not many, and what may be lost is not "at least 0".
func TestLossesAreCounted(t *testing.T) {
	for _, tt := range []struct {
		n     uint64
		exact bool
		want  string
	}{
		{1, true, "1 block is lost"},
		{2, true, "2 blocks are lost"},
		{0, false, "blocks may be lost; how many is not known, because the index is damaged, too"},
		{1, false, "at least 1 block is lost; how many is not known, because the index is damaged, too"},
		{2, false, "at least 2 blocks are lost; how many is not known, because the index is damaged, too"},
	} {
		if got := lost(tt.n, tt.exact, "block", "blocks"); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// TestInterruptedReplace ends a Replace after each of its steps: no start takes half of it,
// and the next repair says what to do.
func TestInterruptedReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	makeStore(t, path)
	aside := Aside(path, fixed)
	must(t, os.Mkdir(aside, 0o700))
	if _, err := Run(t.Context(), Config{Path: path, Output: path + ".repaired"}); err != nil {
		t.Fatalf("no file was moved: %v", err)
	}
	must(t, os.Remove(path+".repaired"))
	for _, suffix := range files {
		if err := os.Rename(path+suffix, filepath.Join(aside, "berth.db"+suffix)); err != nil {
			t.Fatal(err)
		}
		_, err := Run(t.Context(), Config{Path: path, Output: path + ".repaired"})
		if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "move them back (mv "+aside+"/*") {
			t.Errorf("after %q: %v", suffix, err)
		}
	}
	for _, suffix := range files {
		must(t, os.Rename(filepath.Join(aside, "berth.db"+suffix), path+suffix))
	}
	if _, err := Run(t.Context(), Config{Path: path, Output: path + ".repaired"}); err != nil {
		t.Error(err)
	}
}
