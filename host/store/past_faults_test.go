package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// TestPastFaults fails every step of the transactions that keep and remove attempts,
// store documents and requeue deliveries, once each: the call returns an error, and the
// file has the whole change or none of it. A retry completes the change, once.
func TestPastFaults(t *testing.T) {
	const before = "attempts [h1 h1+log] [h2] bytes 36 documents [a=1 b=2] pending [] log 3"
	second := failedDelivery("h", 2, 2)
	second.Logs = []spec.GuestLine{{Level: "info", Message: "more"}}
	changes := []struct {
		name  string
		do    func(context.Context, *Store) error
		after string // as pastState returns
	}{
		{"attempts", func(ctx context.Context, s *Store) error {
			_, _, err := s.SaveDeliveries(ctx, nil, nil, []event.Delivery{second, failedDelivery("i", 2, 1)}, nil)
			return err
		}, "attempts [h1 h1+log] [h2 h2+log i2] bytes 72 documents [a=1 b=2] pending [] log 3"},
		{"documents", func(ctx context.Context, s *Store) error {
			return s.PutDocuments(ctx, []event.Document{{Kind: "k", ID: "a"}, {Kind: "k", ID: "b", Body: "3"}, {Kind: "k", ID: "c", Body: "4"}})
		}, "attempts [h1 h1+log] [h2] bytes 36 documents [b=3 c=4] pending [] log 3"},
		{"forget", func(ctx context.Context, s *Store) error { return s.ForgetHandler(ctx, "h") },
			"attempts [] [] bytes 0 documents [a=1 b=2] pending [] log 3"},
		{"trim", func(ctx context.Context, s *Store) error { _, err := s.Trim(ctx, 2); return err },
			"attempts [] [h2] bytes 0 documents [a=1 b=2] pending [] log 2"},
		{"requeue", func(ctx context.Context, s *Store) error {
			_, err := s.Requeue(ctx, "h", []uint64{1, 2, 3})
			return err
		}, "attempts [h1 h1+log] [h2] bytes 36 documents [a=1 b=2] pending [1 3] log 3"},
	}
	for _, tt := range faultSteps {
		for _, change := range changes {
			t.Run(tt.step+"/"+change.name, func(t *testing.T) {
				ctx := t.Context()
				var armed trigger
				cfg := Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db")}
				s, err := open(ctx, cfg, armed.at(tt.step))
				if err != nil {
					t.Fatal(err)
				}
				defer func() { s.Close() }()
				withPast(t, s)
				check := func(when, want string) {
					t.Helper()
					if got := pastState(t, s); got != want {
						t.Errorf("%s: got %s, want %s", when, got, want)
					}
				}
				check("before", before)
				armed.fail(1)
				if err := change.do(ctx, s); !errors.Is(err, errInjected) || !fault.Is(err, fault.Unavailable) {
					t.Fatalf("got %v, want the injected error", err)
				}
				want := before
				if tt.persisted {
					want = change.after
				}
				check("here", want)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if s, err = open(ctx, cfg, faults{}); err != nil {
					t.Fatal(err)
				}
				check("opened again", want)
				if err := change.do(ctx, s); err != nil {
					t.Errorf("trying again: %v", err)
				}
				check("after trying again", change.after)
			})
		}
	}
}

func failedDelivery(handler string, seq uint64, number int) event.Delivery {
	return event.Delivery{Handler: handler, Seq: seq, Status: event.StatusRetrying, Attempts: number, ErrorClass: event.ClassTrap,
		ErrorMessage: "m", At: time.Unix(int64(number), 0), Due: time.Unix(99, 0)}
}

// withPast appends three events. Two attempts of the first one failed, the second with a
// log line, before it succeeded; one of the second failed.
func withPast(t *testing.T, s *Store) {
	t.Helper()
	ctx := t.Context()
	if _, err := s.Append(ctx, []*event.Event{makeEvent(t, "k1"), makeEvent(t, "k2"), makeEvent(t, "k3")}); err != nil {
		t.Fatal(err)
	}
	logged := failedDelivery("h", 1, 2)
	logged.Logs = []spec.GuestLine{{At: time.Unix(1, 0).UTC(), Level: "info", Message: "line"}}
	outcomes := []event.Delivery{failedDelivery("h", 1, 1), logged, {Handler: "h", Seq: 1, Status: event.StatusOK, Attempts: 3, At: time.Unix(3, 0)},
		failedDelivery("h", 2, 1)}
	if _, _, err := s.SaveDeliveries(ctx, nil, nil, outcomes, []event.Cursor{{Name: "handler/h", Seq: 3}}); err != nil {
		t.Fatal(err)
	}
	if err := s.PutDocuments(ctx, []event.Document{{Kind: "k", ID: "a", Body: "1"}, {Kind: "k", ID: "b", Body: "2"}}); err != nil {
		t.Fatal(err)
	}
}

func pastState(t *testing.T, s *Store) string {
	t.Helper()
	ctx := t.Context()
	attempts := func(seq uint64) (names []string) {
		list, err := s.Attempts(ctx, seq)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			name := fmt.Sprint(a.Handler, a.Seq)
			if len(a.Logs) > 0 {
				name += "+log"
			}
			names = append(names, name)
		}
		return names
	}
	var bytes, count int
	if err := s.reader.QueryRow(`SELECT coalesce(sum(bytes), 0), (SELECT count(*) FROM events) FROM attempt_logs`).Scan(&bytes, &count); err != nil {
		t.Fatal(err)
	}
	list, err := s.Documents(ctx, "k")
	redriven, err2 := s.Redriven(ctx, "h", 0, 10)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	var documents []string
	for _, d := range list {
		documents = append(documents, d.ID+"="+d.Body)
	}
	pending := []uint64{}
	for _, d := range redriven {
		pending = append(pending, d.Seq)
	}
	return fmt.Sprintf("attempts %v %v bytes %d documents %v pending %v log %d", attempts(1), attempts(2), bytes, documents, pending, count)
}

// TestEvictionInSteps evicts more logs than a write removes: later writes remove the others.
func TestEvictionInSteps(t *testing.T) {
	ctx := t.Context()
	s, err := open(ctx, Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db")}, faults{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.attempts.Bound(1000*spec.GuestLineSize, 2)
	number := 0
	save := func(count int) (bytes int) {
		t.Helper()
		var list []event.Delivery
		for range count {
			number++
			d := failedDelivery("h", uint64(number/50+1), number)
			d.Logs = make([]spec.GuestLine, 1)
			list = append(list, d)
		}
		if _, _, err := s.SaveDeliveries(ctx, nil, nil, list, nil); err != nil {
			t.Fatal(err)
		}
		if err := s.reader.QueryRow(`SELECT bytes FROM attempt_logs WHERE handler = 'h'`).Scan(&bytes); err != nil {
			t.Fatal(err)
		}
		return bytes / spec.GuestLineSize
	}
	for i, tt := range []struct{ add, want int }{{1000, 1000}, {1, 1000}, {2000, 3000 - 512}, {1, 3001 - 1024}, {1, 3002 - 1536}, {1, 1000}, {10, 1000}} {
		if got := save(tt.add); got != tt.want {
			t.Errorf("step %d: %d logs remain, want %d", i, got, tt.want)
		}
	}
}
