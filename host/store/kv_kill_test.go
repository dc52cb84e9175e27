package store_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store"
)

// kvChildPath makes this test binary a process that counts in plugins' state until it is
// killed: it names the data file.
const kvChildPath = "BERTH_STORE_TEST_KV"

const kvCounters = 8

func kvCounter(n int) string { return fmt.Sprint("counter-", n%kvCounters/2) } // two goroutines for each

// kvChild counts by compare and set, and prints the numbers that were written.
func kvChild(path string) error {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Config{Window: newWindow(), Path: path})
	if err != nil {
		return err
	}
	errs := make(chan error)
	var mu sync.Mutex
	for w := range kvCounters {
		go func() {
			for {
				n, err := kvIncrement(ctx, s, kvCounter(w), w%4 < 2)
				if fault.Is(err, fault.Conflict) {
					continue
				}
				if err != nil {
					errs <- err
					return
				}
				mu.Lock()
				fmt.Println(kvCounter(w), n) // one write to the pipe, no buffer
				mu.Unlock()
			}
		}()
	}
	return <-errs
}

// kvIncrement increments a counter. newest: it reads the newest value, and a read value whose
// write becomes durable is printed too.
func kvIncrement(ctx context.Context, s *store.Store, key string, newest bool) (n uint64, err error) {
	old, found, ok, stored := s.KVNewest("p", key)
	if !newest || !ok {
		if old, found, err = s.KVGet(ctx, "p", key); err != nil {
			return 0, err
		}
	} else if stored != nil {
		if err := stored(ctx); err != nil {
			return 0, err
		}
		fmt.Println(key, binary.BigEndian.Uint64(old))
	}
	if found {
		n = binary.BigEndian.Uint64(old)
	}
	n++
	return n, s.KVCAS(ctx, "p", key, old, binary.BigEndian.AppendUint64(nil, n))
}

// TestKVKill kills a process that writes plugins' state without warning, again and again:
// no counter is below a number that was written.
func TestKVKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	acknowledged := make(map[string]uint64)
	for round := range 4 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), kvChildPath+"="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if n == 40+31*round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			var key string
			var count uint64
			if _, err := fmt.Sscan(lines.Text(), &key, &count); err != nil {
				t.Fatalf("%q: %v", lines.Text(), err)
			}
			acknowledged[key] = max(acknowledged[key], count)
		}
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("the child ended unexpectedly: %v", err)
		}
	}
	s := open(t, store.Config{Path: path})
	usage := int64(0)
	for n := 0; n < kvCounters; n += 2 {
		key := kvCounter(n)
		value, found, err := s.KVGet(t.Context(), "p", key)
		if err != nil || !found {
			t.Fatalf("%s: %v, %v", key, found, err)
		}
		if got, want := binary.BigEndian.Uint64(value), acknowledged[key]; want == 0 || got < want {
			t.Errorf("%s: got %d, but %d was acknowledged", key, got, want)
		}
		usage += int64(len(key)+len(value)) + 128
	}
	var stored int64
	if err := s.Reader().QueryRow(`SELECT bytes FROM kv_usage WHERE plugin = 'p'`).Scan(&stored); err != nil || stored != usage {
		t.Errorf("usage: got %d, %v, want %d", stored, err, usage)
	}
	t.Logf("acknowledged %v", acknowledged)
}
