package store_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store"
)

// effectsChildPath makes this test binary a process that saves atomic deliveries until it is
// killed: it names the data file, and after a colon the first event.
const effectsChildPath = "BERTH_STORE_TEST_EFFECTS"

const (
	effectsWorkers  = 4
	effectsParents  = 4000 // events, the log before its children
	effectsPerRound = 1000
)

// effectsChild counts the events in one key, by one handler for each worker, and prints those
// whose delivery was acknowledged.
func effectsChild(argument string) error {
	path, first, _ := strings.Cut(argument, ":")
	from, err := strconv.Atoi(first)
	if err != nil {
		return err
	}
	ctx := context.Background()
	s, err := store.Open(ctx, store.Config{Window: newWindow(), Path: path})
	if err != nil {
		return err
	}
	errs := make(chan error)
	for w := range effectsWorkers {
		go func() {
			for seq := from + w; seq < from+effectsPerRound; seq += effectsWorkers {
				if err := countAtomic(ctx, s, uint64(seq)); err != nil {
					errs <- err
					return
				}
				fmt.Println(seq) // one write to the pipe, no buffer
			}
			errs <- fmt.Errorf("worker %d was not killed", w)
		}()
	}
	return <-errs
}

// countAtomic saves a delivery that adds one to the counter, names its event in another key
// and has a child, until it is not in conflict.
func countAtomic(ctx context.Context, s *store.Store, seq uint64) error {
	child, err := event.New(event.Draft{Type: "child", IdempotencyKey: fmt.Sprint("child-", seq)})
	if err != nil {
		return err
	}
	for number := 0; ; number++ {
		old, found, err := s.KVGet(ctx, "p", "n")
		if err != nil {
			return err
		}
		read, n := event.EffectRead{Key: "n", Found: found}, 0
		if found {
			read.Sum = sha256.Sum256(old)
			if n, err = strconv.Atoi(string(old)); err != nil {
				return err
			}
		}
		at := time.Unix(int64(number), int64(seq))
		d := event.Delivery{Handler: "h", Seq: seq, Status: event.StatusOK, Attempts: 1, At: at, FirstAttempt: at, Children: []*event.Event{child},
			Effects: &event.Effects{Plugin: "p", Reads: []event.EffectRead{read}, Writes: []event.EffectWrite{
				{Key: "n", Value: strconv.AppendInt(nil, int64(n+1), 10)}, {Key: fmt.Sprint("done-", seq), Value: []byte("1")}}}}
		saved, _, err := s.SaveDeliveries(ctx, nil, nil, []event.Delivery{d}, []event.Cursor{{Name: fmt.Sprint("handler/of-", seq), Seq: seq}})
		if err != nil || len(saved.Refused) > 0 {
			return fmt.Errorf("event %d: %+v, %w", seq, saved, err)
		}
		if len(saved.Conflicts) == 0 {
			return nil
		}
	}
}

// TestEffectsKill kills a process that saves atomic deliveries without warning, again and
// again: of each event all is there, outcome, child, key and cursor, or nothing, and the
// counter has each once.
func TestEffectsKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	s := open(t, store.Config{Path: path})
	if _, err := s.Append(t.Context(), logtest.Numbered(t, "parent", effectsParents)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	acknowledged := make(map[string]bool)
	for round := range 4 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s:%d", effectsChildPath, path, 1+round*effectsPerRound))
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
			if n == 30+27*round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			acknowledged[lines.Text()] = true
		}
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("the child ended unexpectedly: %v", err)
		}
	}
	s = open(t, store.Config{Path: path})
	counted := checkKilledEffects(t, s, acknowledged)
	if n, _, err := s.KVGet(t.Context(), "p", "n"); string(n) != strconv.Itoa(counted) || err != nil {
		t.Errorf("the counter is %s, %v, but %d deliveries are stored", n, err, counted)
	}
	t.Logf("%d acknowledged, %d stored", len(acknowledged), counted)
}

// checkKilledEffects returns the number of events whose delivery is a stored success.
func checkKilledEffects(t *testing.T, s *store.Store, acknowledged map[string]bool) (counted int) {
	t.Helper()
	ctx := t.Context()
	for seq := uint64(1); seq <= effectsParents; seq++ {
		deliveries, err1 := s.Deliveries(ctx, seq)
		_, key, err2 := s.KVGet(ctx, "p", fmt.Sprint("done-", seq))
		children, err3 := s.Events(ctx, event.Query{Key: fmt.Sprint("child-", seq), Limit: 1})
		_, cursor, err4 := s.Cursor(ctx, fmt.Sprint("handler/of-", seq))
		if err1 != nil || err2 != nil || err3 != nil || err4 != nil {
			t.Fatal(err1, err2, err3, err4)
		}
		ok := len(deliveries) == 1 && deliveries[0].Status == event.StatusOK
		if ok {
			counted++
		}
		if ok != key || ok != (len(children) == 1) || cursor != (len(deliveries) == 1) {
			t.Errorf("event %d: outcomes %+v, key %v, children %d, cursor %v", seq, deliveries, key, len(children), cursor)
		}
		if !ok && acknowledged[strconv.FormatUint(seq, 10)] {
			t.Errorf("event %d was acknowledged and is not stored", seq)
		}
	}
	return counted
}
