package store_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/store"
)

// pastChildPath makes this test binary a process that stores failed attempts and documents
// until it is killed: it names the data file.
const pastChildPath = "BERTH_STORE_TEST_PAST"

// pastChild stores attempts of events of its own, in several goroutines, and prints each
// event with the number of its attempts that are stored.
func pastChild(path string) error {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Config{Window: newWindow(), Path: path})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	errs := make(chan error)
	for h := range 4 {
		go func() {
			handler := fmt.Sprint("h", h)
			for {
				seq, err := pastEvent(ctx, s, handler)
				for number := 1; number <= 4 && err == nil; number++ {
					d := event.Delivery{Handler: handler, Seq: seq, Status: event.StatusRetrying, Attempts: number, ErrorClass: event.ClassTrap, At: time.Now(),
						Due: time.Now(), Fuel: uint64(number), Logs: []spec.GuestLine{{Level: "info", Message: fmt.Sprint(seq, "-", number)}}}
					if _, _, err = s.SaveDeliveries(ctx, nil, nil, []event.Delivery{d}, nil); err != nil {
						break
					}
					err = s.PutDocuments(ctx, []event.Document{{Kind: handler, ID: "newest", Body: fmt.Sprint(seq)}})
					mu.Lock()
					fmt.Println(handler, seq, number) // one write to the pipe, no buffer
					mu.Unlock()
				}
				if err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	return <-errs
}

func pastEvent(ctx context.Context, s *store.Store, handler string) (uint64, error) {
	ev, err := event.New(event.Draft{Type: "t"})
	if err != nil {
		return 0, err
	}
	ev = ev.WithOrigin(event.Origin{Publisher: spec.Publisher{Source: handler}})
	receipts, err := s.Append(ctx, []*event.Event{ev})
	if err != nil {
		return 0, err
	}
	return receipts[0].Seq, nil
}

// TestPastKill kills a process that stores attempts without warning, again and again.
// Every attempt that was acknowledged is there, with its log, every event has its origin,
// and the size of the logs is exact.
func TestPastKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	type key struct {
		handler string
		seq     uint64
	}
	acknowledged, newest := make(map[key]int), make(map[string]uint64)
	for round := range 4 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), pastChildPath+"="+path)
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
			if n == 40+23*round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			var k key
			var number int
			if _, err := fmt.Sscan(lines.Text(), &k.handler, &k.seq, &number); err != nil {
				t.Fatalf("%q: %v", lines.Text(), err)
			}
			acknowledged[k], newest[k.handler] = number, k.seq
		}
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("the child ended unexpectedly: %v", err)
		}
	}
	s := open(t, store.Config{Path: path})
	for k, number := range acknowledged {
		list, err := s.Attempts(t.Context(), k.seq)
		if err != nil || len(list) < number {
			t.Fatalf("event %d: got %+v, %v, want %d", k.seq, list, err, number)
		}
		for i, a := range list {
			if a.Handler != k.handler || a.Number != i+1 || a.Fuel != uint64(i+1) || len(a.Logs) != 1 || a.Logs[0].Message != fmt.Sprint(k.seq, "-", i+1) {
				t.Errorf("event %d: got %+v", k.seq, a)
			}
		}
		records, err := s.Read(t.Context(), k.seq, 1)
		if err != nil || len(records) != 1 || records[0].Event.Origin().Publisher.Source != k.handler {
			t.Errorf("event %d: got %+v, %v", k.seq, records, err)
		}
	}
	for handler, seq := range newest {
		list, err := s.Documents(t.Context(), handler)
		var got uint64
		if err == nil && len(list) == 1 {
			_, err = fmt.Sscan(list[0].Body, &got)
		}
		if err != nil || got < seq {
			t.Errorf("documents of %s: got %+v, %v, want %d or later", handler, list, err, seq)
		}
	}
	var wrong int
	if err := s.Reader().QueryRow(`SELECT count(*) FROM attempt_logs AS l WHERE bytes <>
		(SELECT sum(log_size) FROM attempts AS a WHERE a.handler = l.handler)`).Scan(&wrong); err != nil || wrong > 0 {
		t.Errorf("the size of the logs of %d handlers is wrong, %v", wrong, err)
	}
	t.Logf("%d events", len(acknowledged))
}
