package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/wire"
)

// TestStreamOverRestart follows the event stream of the real binary, and continues after a
// restart: the published events have no gap and no duplicate, and every answer follows its
// event.
func TestStreamOverRestart(t *testing.T) {
	dir, config, plugins := workplace(t)
	write(t, filepath.Join(plugins, "echo.wasm"), guest(t, "echo"))
	s := serve(t, dir, config)
	s.active(t, "echo")
	last, n := uint64(0), uint64(0)
	publish := func() {
		t.Helper()
		for range 20 {
			n++
			emit(t, s, "key-"+strconv.FormatUint(n, 10))
		}
	}
	for range 2 {
		publish() // before the stream is open
		before := n
		req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/api/v1/events/stream?since=0", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+s.Token)
		req.Header.Set("Last-Event-ID", strconv.FormatUint(last, 10))
		resp, err := new(http.Client).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 1<<20)
		for answered := uint64(0); answered < before+20 && lines.Scan(); {
			text, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok {
				continue
			}
			var a wire.Activity
			if err := json.Unmarshal([]byte(text), &a); err != nil {
				t.Fatalf("%v in %s", err, text)
			}
			switch {
			case a.Event != nil:
				if a.Event.Seq != last+1 {
					t.Fatalf("%d is shown after %d", a.Event.Seq, last)
				}
				if last = a.Event.Seq; last == before {
					publish() // live
				}
			case a.Delivery != nil:
				if a.Delivery.Seq > last {
					t.Fatalf("an answer to %d is shown after %d", a.Delivery.Seq, last)
				}
				if a.Delivery.Status == "ok" {
					answered = max(answered, a.Delivery.Seq)
				}
			}
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if last != before+20 {
			t.Errorf("the last event shown is %d, want %d", last, before+20)
		}
		s.terminate(t)
		s = serve(t, dir, config)
		s.active(t, "echo")
	}
	s.terminate(t)
}
