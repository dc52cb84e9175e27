package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/fault"
)

// TestEditsNeverUndoConcurrentSaves saves the file repeatedly, by rename or by
// overwriting, while the host edits it. The file has each save until the next one.
func TestEditsNeverUndoConcurrentSaves(t *testing.T) {
	ways := []bool{false}
	if runtime.GOOS == "linux" { // only Linux reports writers
		ways = append(ways, true)
	}
	for _, overwrite := range ways {
		t.Run(map[bool]string{false: "renamed", true: "in place"}[overwrite], func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.yaml")
			write(t, path, "data_dir: s0\n")
			stop := make(chan struct{})
			var wg sync.WaitGroup
			edits := 0
			edited := make(chan struct{}, 1)
			wg.Go(func() {
				e := config.NewEditor(path)
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					_, err := e.SetHandlerEnabled("x", i%2 == 0)
					switch {
					case err == nil:
						edits++
						select {
						case edited <- struct{}{}:
						default:
						}
					case fault.Is(err, fault.Conflict), fault.Is(err, fault.Invalid), fault.Is(err, fault.Unavailable): // too busy, or half a file
					default:
						t.Error(err)
					}
				}
			})
			for i := 1; i <= 300; i++ {
				mine := fmt.Sprintf("data_dir: s%d\n", i)
				if overwrite {
					write(t, path, mine)
				} else {
					write(t, path+".mine", mine)
					if err := os.Rename(path+".mine", path); err != nil {
						t.Fatal(err)
					}
				}
				if i%20 != 0 {
					continue
				}
				for range 2 { // the first may have been done before this save
					select {
					case <-edited:
					case <-time.After(30 * time.Second):
						t.Fatal("no edit goes through")
					}
				}
				if got := read(t, path); !strings.HasPrefix(got, mine) {
					t.Fatalf("save %d is gone: %q", i, got)
				}
			}
			close(stop)
			wg.Wait()
			if got := read(t, path); !strings.HasPrefix(got, "data_dir: s300\n") {
				t.Errorf("the last save is gone: %q", got)
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			t.Logf("%d edits went through beside 300 saves", edits)
		})
	}
}
