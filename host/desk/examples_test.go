package desk_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/berth-host/berth/host/desk"
	"github.com/berth-host/berth/testdata/languages"
)

// TestExamples delivers the events of each example handler that has a golden file to its
// module in testdata, as plugin test does.
func TestExamples(t *testing.T) {
	tested := 0
	for _, l := range languages.All() {
		dir := filepath.Join("..", "..", l.Example)
		golden, err := os.ReadFile(filepath.Join(dir, "events.golden.json"))
		if l.Example == "" || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		tested++
		t.Run(filepath.Base(l.Example), func(t *testing.T) {
			want, err := desk.ParseGolden(golden)
			if err != nil {
				t.Fatal(err)
			}
			setup := desk.Setup{Seed: 1, Start: desk.FirstTime()}
			if setup.Config, err = os.ReadFile(filepath.Join(dir, "config.json")); errors.Is(err, fs.ErrNotExist) {
				setup.Config = nil
			} else if err != nil {
				t.Fatal(err)
			}
			wasm := read(t, filepath.Join("..", "..", languages.Dir, l.Name, filepath.Base(l.Example)+".wasm"))
			deliveries := run(t, start(t, load(t, wasm, ""), setup), 1, string(read(t, filepath.Join(dir, "events.jsonl"))))
			for _, d := range want.Compare(desk.NewGolden(want.Plugin, deliveries), -1) {
				t.Errorf("event %d, attempt %d, %s: got %s, want %s", d.Event, d.Attempt, d.What, d.Got, d.Want)
			}
		})
	}
	if tested < 3 {
		t.Errorf("%d examples have golden files", tested)
	}
}
