package store_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store"
)

// historyChildPath makes this test binary a process that stores outcomes until it is
// killed: it names the data file.
const historyChildPath = "BERTH_STORE_TEST_HISTORY"

const (
	killedHandlers = 4
	killedEvents   = 100_000
)

func killedResult(handler string, seq uint64) string {
	return fmt.Sprintf(`{"handler":%q,"seq":%d}`, handler, seq)
}

// historyChild stores outcomes of events in runs of random length, of which one is late
// and comes with the next run, and prints the Seqs that are stored.
func historyChild(path string) error {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Config{Window: newWindow(), Path: path})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	errs := make(chan error)
	for h := range killedHandlers {
		go func() {
			handler := fmt.Sprint("h", h)
			at, _, err := s.Cursor(ctx, "handler/"+handler)
			var late []uint64
			for err == nil {
				of := event.Successes{Handler: handler, Digest: strings.Repeat("ab", 32)}
				var seqs []uint64
				first := at
				for range 1 + rand.IntN(150) {
					at++
					seqs = append(seqs, at)
				}
				seqs, late = append(seqs[1:], late...), seqs[:1:1]
				for _, seq := range seqs {
					of.Append(seq, event.Success{At: time.Now(), Duration: time.Microsecond, Fuel: seq}, []byte(killedResult(handler, seq)))
				}
				// The cursor covers everything before the late one.
				_, _, err = s.SaveDeliveries(ctx, nil, []event.Successes{of}, nil, []event.Cursor{{Name: "handler/" + handler, Seq: first}})
				if err != nil || at > killedEvents {
					break
				}
				mu.Lock()
				fmt.Println(handler, strings.Trim(fmt.Sprint(seqs), "[]")) // one write to the pipe, no buffer
				mu.Unlock()
			}
			errs <- err
		}()
	}
	return <-errs
}

// TestHistoryKill kills a process that stores outcomes without warning, again and again.
// Every outcome that was acknowledged is there, with its result, and so is every one that
// a cursor covers.
func TestHistoryKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	acknowledged := make(map[string]map[uint64]bool)
	for h := range killedHandlers {
		acknowledged[fmt.Sprint("h", h)] = make(map[uint64]bool)
	}
	for round := range 4 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), historyChildPath+"="+path)
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
			if n == 30+17*round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			fields := strings.Fields(lines.Text())
			for _, field := range fields[1:] {
				var seq uint64
				if _, err := fmt.Sscan(field, &seq); err != nil {
					t.Fatalf("%q: %v", lines.Text(), err)
				}
				acknowledged[fields[0]][seq] = true
			}
		}
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("the child ended unexpectedly: %v", err)
		}
	}
	s := open(t, store.Config{Path: path})
	n := 0
	for handler, seqs := range acknowledged {
		cursor, _, err := s.Cursor(t.Context(), "handler/"+handler)
		if err != nil {
			t.Fatal(err)
		}
		for seq := uint64(1); seq <= cursor; seq++ {
			seqs[seq] = true
		}
		for seq := range seqs {
			n++
			if got := resultFor(t, s, handler, seq); got != killedResult(handler, seq) {
				t.Fatalf("the outcome of event %d for %s was acknowledged: got %q", seq, handler, got)
			}
		}
	}
	t.Logf("%d outcomes", n)
}

func resultFor(t *testing.T, s *store.Store, handler string, seq uint64) string {
	t.Helper()
	list, err := s.Deliveries(t.Context(), seq)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		if d.Handler == handler && d.Fuel == seq {
			return d.Result
		}
	}
	return ""
}
