package store_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store"
)

// scheduledChildPath makes this test binary a process that accepts events which are due at
// once, and moves them, until it is killed: it names the data file.
const scheduledChildPath = "BERTH_STORE_TEST_SCHEDULED"

// scheduledChild prints the key of each event that was accepted, while another goroutine moves
// events into the log.
func scheduledChild(path string) error {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Config{Window: newWindow(), Path: path})
	if err != nil {
		return err
	}
	errs := make(chan error)
	go func() {
		for {
			if _, _, err := s.MoveDue(ctx, time.Now().Add(2*time.Hour), 3); err != nil {
				errs <- err
				return
			}
		}
	}()
	go func() {
		for {
			ev, err := event.New(event.Draft{Type: "t", Deferral: event.Deferral{After: time.Hour}})
			if err == nil {
				_, err = s.Append(ctx, []*event.Event{ev})
			}
			if err != nil {
				errs <- err
				return
			}
			fmt.Println(ev.ID()) // one write to the pipe, no buffer
		}
	}()
	return <-errs
}

// TestScheduledKill kills a process that accepts and moves events without warning, again and
// again. Every acknowledged event is in the log once, or scheduled and moved afterwards.
func TestScheduledKill(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "berth.db")
	acknowledged := make(map[string]int)
	for round := range 5 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), scheduledChildPath+"="+path)
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
			if n == 20+17*round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			acknowledged[lines.Text()] = 0
		}
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("the child ended unexpectedly: %v", err)
		}
	}
	s := open(t, store.Config{Path: path})
	for moved := 1; moved > 0; {
		var err error
		if moved, _, err = s.MoveDue(ctx, time.Now().Add(2*time.Hour), 100); err != nil {
			t.Fatal(err)
		}
	}
	seen, from := make(map[string]int), uint64(1)
	for {
		records, err := s.Read(ctx, from, 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(records) == 0 {
			break
		}
		for _, rec := range records {
			seen[rec.Event.ID()]++
			from = rec.Seq + 1
		}
	}
	for id := range acknowledged {
		if seen[id] == 0 {
			t.Errorf("event %s was acknowledged and is lost", id)
		}
	}
	bytes := int64(0)
	for id, n := range seen {
		if n != 1 {
			t.Errorf("event %s is in the log %d times", id, n)
		}
		rec, err := s.Event(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		bytes += rec.Event.Size()
	}
	if st, err := s.Status(ctx); err != nil || st.Scheduled != 0 || st.Events != int64(len(seen)) || st.Bytes != bytes {
		t.Errorf("got %+v, %v, want %d events of %d bytes", st, err, len(seen), bytes)
	}
	t.Logf("%d events", len(seen))
}
