package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/wire"
)

// TestFullDisk fills the disk under the real binary: a file system of its own
// where one can be mounted (as root), and for every user by a limit to the size
// of its files.
func TestFullDisk(t *testing.T) {
	t.Run("tmpfs", func(t *testing.T) {
		dir, config, plugins := workplace(t)
		data, ballast := filepath.Join(dir, "data"), filepath.Join(dir, "data", "ballast")
		if err := os.Mkdir(data, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", data, "tmpfs", 0, "size=12m,mode=0700"); err != nil {
			t.Logf("no file system can be mounted (%v): the other half stands in", err)
			return
		}
		t.Cleanup(func() {
			if err := unix.Unmount(data, 0); err != nil {
				t.Errorf("unmount: %v", err)
			}
		})
		write(t, ballast, make([]byte, 6<<20))
		write(t, filepath.Join(plugins, "echo.wasm"), guest(t, "echo"))
		s := serve(t, dir, config)
		full(t, s, func() error { return os.Remove(ballast) })
	})
	t.Run("file size limit", func(t *testing.T) {
		dir, config, plugins := workplace(t)
		write(t, filepath.Join(plugins, "echo.wasm"), guest(t, "echo"))
		s := serve(t, dir, config)
		var was unix.Rlimit
		if err := unix.Prlimit(s.cmd.Process.Pid, unix.RLIMIT_FSIZE, nil, &was); err != nil {
			t.Fatal(err)
		}
		if err := unix.Prlimit(s.cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 2 << 20, Max: was.Max}, nil); err != nil {
			t.Fatal(err)
		}
		full(t, s, func() error { return unix.Prlimit(s.cmd.Process.Pid, unix.RLIMIT_FSIZE, &was, nil) })
	})
}

// full publishes until the host refuses events, checks its answers, frees disk space, and
// continues with the same process. Acknowledged events must be delivered.
func full(t *testing.T, s *server, freeDisk func() error) {
	t.Helper()
	s.active(t, "echo")
	const publishers, enough = 4, 2_000 // more than fit
	type refusal struct {
		status     int
		retryAfter string
		problem    wire.Problem
	}
	var mu sync.Mutex
	var acked []string
	padding := strings.Repeat("x", 8<<10)
	publish := func(key string) (*refusal, error) {
		body, err := json.Marshal(map[string]any{"event_type": "t", "data": map[string]string{"status": "there", "padding": padding},
			"metadata": map[string]string{"idempotency_key": key}})
		if err != nil {
			return nil, err
		}
		resp, text, err := s.post("/api/v1/events", body)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode == http.StatusAccepted {
			mu.Lock()
			defer mu.Unlock()
			acked = append(acked, key)
			return nil, nil
		}
		r := refusal{status: resp.StatusCode, retryAfter: resp.Header.Get("Retry-After")}
		return &r, json.Unmarshal(text, &r.problem)
	}
	refusals, errs := make([]*refusal, publishers), make([]error, publishers)
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for n := 0; n < enough && refusals[p] == nil && errs[p] == nil; n++ {
				refusals[p], errs[p] = publish(fmt.Sprintf("filling-%d-%d", p, n))
			}
		})
	}
	wg.Wait()
	for p, r := range refusals {
		switch {
		case errs[p] != nil:
			t.Fatal(errs[p])
		case r == nil:
			t.Fatalf("publisher %d published %d events, and the disk was not full", p, enough)
		case r.status != http.StatusInsufficientStorage || r.retryAfter == "" || !strings.Contains(r.problem.Detail, "disk is full"):
			t.Errorf("got %+v", r)
		}
	}
	if len(acked) == 0 {
		t.Fatal("nothing was accepted")
	}
	t.Logf("full after %d events: %d, Retry-After %s: %s", len(acked), refusals[0].status, refusals[0].retryAfter, refusals[0].problem.Detail)

	// It still answers.
	for _, path := range []string{"/healthz", "/readyz", "/api/v1/events", "/api/v1/events/" + acked[0], "/api/v1/events/plugins", "/api/v1/orders"} {
		s.get(t, path, new(any))
	}
	acked = append(acked, s.orderUntilFull(t, enough)...)
	s.reloadWhileFull(t)

	// With free space the same process continues.
	if err := freeDisk(); err != nil {
		t.Fatal(err)
	}
	await(t, "events are taken again", func() error {
		r, err := publish("after")
		if r != nil {
			err = fmt.Errorf("%+v", *r)
		}
		return err
	})
	for _, key := range acked {
		s.delivered(t, key, "echo")
	}
	s.terminate(t)
}

// reloadWhileFull checks that a change is made only if it can be recorded.
func (s *server) reloadWhileFull(t *testing.T) {
	t.Helper()
	if resp, text, err := s.post("/api/v1/events/reload-config", nil); err != nil {
		t.Fatal(err)
	} else if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusInsufficientStorage {
		t.Errorf("reload: got %d, %s", resp.StatusCode, text)
	}
}

// orderUntilFull creates orders until one is refused, and returns the keys of the others'
// events.
func (s *server) orderUntilFull(t *testing.T, limit int) (acked []string) {
	t.Helper()
	refused := false
	for n := 0; n < limit && !refused; n++ { // a small one may still fit
		id := fmt.Sprintf("order-%d", n)
		resp, text, err := s.post("/api/v1/orders", []byte(`{"id":"`+id+`","customer_id":"c","currency":"EUR","items":[{"sku":"S","quantity":1,"unit_price_cents":1}]}`))
		switch {
		case err != nil:
			t.Fatal(err)
		case resp.StatusCode == http.StatusCreated:
			acked = append(acked, "order:"+id+":v1")
		case resp.StatusCode == http.StatusInsufficientStorage && resp.Header.Get("Retry-After") != "":
			refused = true
		default:
			t.Fatalf("an order: got %d, %s", resp.StatusCode, text)
		}
	}
	if !refused {
		t.Error("orders are taken although the disk is full")
	}
	return acked
}

// post sends JSON, and returns the answer with its whole body.
func (s *server) post(path string, body []byte) (*http.Response, []byte, error) {
	req, err := http.NewRequest(http.MethodPost, s.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.Token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.HTTP.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp, text, err
}
