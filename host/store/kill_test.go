package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store"
)

// childPath is the environment variable that makes this test binary the child
// that is killed: it names the data file.
const childPath = "BERTH_STORE_TEST_CHILD"

// openPath makes it a process that opens the store and prints the result.
const openPath = "BERTH_STORE_TEST_OPEN"

func TestMain(m *testing.M) {
	if path := os.Getenv(childPath); path != "" {
		fmt.Fprintln(os.Stderr, child(path))
		os.Exit(1)
	}
	if path := os.Getenv(historyChildPath); path != "" {
		fmt.Fprintln(os.Stderr, historyChild(path))
		os.Exit(1)
	}
	if path := os.Getenv(pastChildPath); path != "" {
		fmt.Fprintln(os.Stderr, pastChild(path))
		os.Exit(1)
	}
	if path := os.Getenv(scheduledChildPath); path != "" {
		fmt.Fprintln(os.Stderr, scheduledChild(path))
		os.Exit(1)
	}
	if path := os.Getenv(kvChildPath); path != "" {
		fmt.Fprintln(os.Stderr, kvChild(path))
		os.Exit(1)
	}
	if path := os.Getenv(effectsChildPath); path != "" {
		fmt.Fprintln(os.Stderr, effectsChild(path))
		os.Exit(1)
	}
	if path := os.Getenv(limitedPath); path != "" {
		if err := limited(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if path := os.Getenv(openPath); path != "" {
		s, err := store.Open(context.Background(), store.Config{Window: newWindow(), Path: path})
		if err != nil {
			fmt.Println(err)
		} else {
			fmt.Println("open")
			s.Close()
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// child writes to the file until it is killed, and prints the acknowledged ids.
func child(path string) error {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Config{Window: newWindow(), Path: path})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	errs := make(chan error)
	for w := range 8 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), w, i)
				ev, err := event.New(event.Draft{Type: "t", IdempotencyKey: id})
				if err != nil {
					errs <- err
					return
				}
				if w%2 == 0 {
					_, err = s.Append(ctx, []*event.Event{ev})
				} else {
					_, err = s.Write(ctx, func(tx *sql.Tx) ([]*event.Event, error) {
						return []*event.Event{ev}, setStatus(id)(tx)
					})
				}
				if err != nil {
					errs <- err
					return
				}
				mu.Lock()
				fmt.Println(id) // one write to the pipe, no buffer
				mu.Unlock()
			}
		}()
	}
	return <-errs
}

// TestKill kills a writing process without warning, again and again, and looks for
// every event it has acknowledged. An order is there if and only if its event is.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	acked := make(map[string]bool)
	for round := range 5 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childPath+"="+path)
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
			if n == 50+37*round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			acked[lines.Text()] = true // also what it had printed when it died
		}
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("the child ended unexpectedly: %v", err)
		}
	}
	s := open(t, store.Config{Path: path})
	stored := make(map[string]bool)
	for _, r := range logtest.ReadAll(t, s, 1, 1000) {
		stored[r.Event.Metadata().IdempotencyKey] = true
	}
	for id := range acked {
		if !stored[id] {
			t.Errorf("%s was acknowledged and is lost", id)
		}
	}
	rows, err := s.Reader().Query(`SELECT id FROM orders`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	orders := make(map[string]bool)
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		orders[id] = true
		if !stored[id] {
			t.Errorf("order %s has no event", id)
		}
	}
	for id := range stored {
		if w := strings.Split(id, "-")[1]; (w == "1" || w == "3" || w == "5" || w == "7") && !orders[id] {
			t.Errorf("event %s has no order", id)
		}
	}
	t.Logf("%d acknowledged, %d stored", len(acked), len(stored))
}

// TestKilledWithoutWAL kills a writing process and deletes its WAL: the next start
// is refused and says which acknowledged events are missing.
func TestKilledWithoutWAL(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	if err := open(t, store.Config{Path: path}).Close(); err != nil { // the tables are in the file, and not only in the WAL
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childPath+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acknowledged := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if acknowledged++; acknowledged == 30 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the child ended unexpectedly: %v", err)
	}
	if err := os.Rename(path+"-wal", path+"-away"); err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(t.Context(), store.Config{Window: newWindow(), Path: path})
	var from, to, acked int
	if err == nil || !fault.Is(err, fault.Conflict) {
		t.Fatalf("got %v, want a refusal", err)
	}
	if _, scan := fmt.Sscanf(err.Error()[strings.Index(err.Error(), "but event "):], "but event %d was acknowledged: the events %d to %d are missing", &acked, &from, &to); scan != nil || from < 1 || to != acked || to < acknowledged {
		t.Errorf("got %v (%v), want a range up to at least %d", err, scan, acknowledged)
	}
	if err := os.Rename(path+"-away", path+"-wal"); err != nil {
		t.Fatal(err)
	}
	if s := open(t, store.Config{Path: path}); s.Last() < uint64(acknowledged) {
		t.Errorf("with its WAL the log ends at %d, want at least %d", s.Last(), acknowledged)
	}
}
