package file

import (
	"os"
	"path/filepath"
	"testing"
)

// TestWatchWaitsForWriters: a file that is written in pieces is reported when it is
// closed. The second watch proves that the first one had time to report it earlier.
func TestWatchWaitsForWriters(t *testing.T) {
	dir := t.TempDir()
	path, clock := filepath.Join(dir, "c.yaml"), filepath.Join(dir, "clock")
	write(t, path, "1")
	write(t, clock, "1")
	next, tick := watch(t, path), watch(t, clock)
	next("1")
	tick("1")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, piece := range []string{"ha", "lf"} {
		if _, err := f.WriteString(piece); err != nil {
			t.Fatal(err)
		}
		for n := range 5 { // each time, a look of the second watch
			text := string(rune('a' + 5*i + n))
			replace(t, clock+".new", clock, text)
			tick(text)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	next("half")
}
