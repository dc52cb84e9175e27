package traffic

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
)

// receiver is a host that takes events and records their numbers.
type receiver struct {
	Server
	mu      sync.Mutex
	batches [][]int
	answer  func(request int) int // the status of the answer to a request, from 0
}

func newReceiver(t *testing.T, answer func(request int) int) *receiver {
	t.Helper()
	r := &receiver{answer: answer}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != "POST" || req.URL.Path != "/api/v1/events" || req.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("got %s %s with %v", req.Method, req.URL, req.Header)
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Errorf("read the body: %v", err)
		}
		w.WriteHeader(r.answer(r.record(t, body)))
		_, _ = io.WriteString(w, `{"answer": true}`)
	}))
	t.Cleanup(server.Close)
	r.Server = Server{URL: server.URL, Token: "secret"}
	return r
}

func accepted(int) int { return http.StatusAccepted }

// record decodes a body and returns how many came before it.
func (r *receiver) record(t *testing.T, body []byte) (before int) {
	type numbered struct{ Data struct{ Number int } }
	var list []numbered
	if !strings.HasPrefix(string(body), "[") {
		body = slices.Concat([]byte("["), body, []byte("]"))
	}
	if err := json.Unmarshal(body, &list); err != nil {
		t.Errorf("%v: %s", err, body)
	}
	numbers := make([]int, len(list))
	for i, ev := range list {
		numbers[i] = ev.Data.Number
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.batches = append(r.batches, numbers)
	return len(r.batches) - 1
}

// numbers returns all numbers so far, in order.
func (r *receiver) numbers() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(slices.Values(slices.Concat(r.batches...)))
}

func upTo(n int) (list []int) {
	for i := range n {
		list = append(list, i)
	}
	return list
}

func plain(n int) Event { return Event{Number: n, Subject: -1} }

func TestEventIsWhatTheHostTakes(t *testing.T) {
	at := time.Date(2026, 11, 30, 12, 0, 0, 5, time.UTC)
	d, err := event.ParseDraft(Event{Number: 17, Size: 3, Subject: 4, Keyed: true, Time: at}.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if d.Type != "load" || d.Subject != "s-4" || d.IdempotencyKey != Key(17) || !d.Time.Equal(at) {
		t.Errorf("got %+v", d)
	}
	if d, err = event.ParseDraft(plain(17).Append(nil)); err != nil || d.Subject != "" || d.IdempotencyKey != "" || !d.Time.IsZero() {
		t.Errorf("got %+v, %v, want no subject, key and time", d, err)
	}
}

func TestFillPublishesInOrder(t *testing.T) {
	r := newReceiver(t, accepted)
	if err := Fill(t.Context(), r.Server, 0, 7, 3, plain); err != nil {
		t.Fatal(err)
	}
	want := [][]int{{0, 1, 2}, {3, 4, 5}, {6}}
	if !slices.EqualFunc(r.batches, want, slices.Equal) {
		t.Errorf("got %v, want %v", r.batches, want)
	}
}

func TestFillParallelPublishesEachEventOnce(t *testing.T) {
	r := newReceiver(t, accepted)
	if err := FillParallel(t.Context(), r.Server, 3, 0, 100, 7, plain); err != nil {
		t.Fatal(err)
	}
	if got := r.numbers(); !slices.Equal(got, upTo(100)) {
		t.Errorf("got %v", got)
	}
}

func TestClosedLoopPublishesEachEventOnce(t *testing.T) {
	r := newReceiver(t, accepted)
	began, ended := false, false
	seen, err := Closed{Publishers: 3, Batch: 2, Window: 20 * time.Millisecond}.Run(t.Context(), r.Server,
		func() error { began = true; return nil }, func() error { ended = true; return nil })
	if err != nil {
		t.Fatal(err)
	}
	got := r.numbers()
	if !slices.Equal(got, upTo(len(got))) {
		t.Errorf("got %v", got)
	}
	if !began || !ended || seen.Events > len(got) || seen.Elapsed < 20*time.Millisecond {
		t.Errorf("began %v, ended %v, %+v of %d events", began, ended, seen, len(got))
	}
}

func TestRefusalEndsRun(t *testing.T) {
	refused := func(request int) int {
		if request < 3 {
			return http.StatusAccepted
		}
		return http.StatusTooManyRequests
	}
	none := func() error { return nil }
	for name, run := range map[string]func(r *receiver) error{
		"closed": func(r *receiver) error {
			_, err := Closed{Publishers: 2, Batch: 1, Window: time.Hour}.Run(t.Context(), r.Server, none, none)
			return err
		},
		"open": func(r *receiver) error {
			_, err := Open{Rate: 10_000, Window: 10 * time.Millisecond, Connections: 2}.Run(t.Context(), r.Server)
			return err
		},
		"fill": func(r *receiver) error { return Fill(t.Context(), r.Server, 0, 10, 1, plain) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := run(newReceiver(t, refused)); err == nil || !strings.Contains(err.Error(), `429 Too Many Requests: {"answer": true}`) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestOpenLoopCountsFromArrival has one connection whose first request is answered only when
// all others have arrived: each of these waits until then, and its time must say so.
func TestOpenLoopCountsFromArrival(t *testing.T) {
	o := Open{Rate: 2000, Window: 50 * time.Millisecond, Connections: 1, First: 100}
	r := newReceiver(t, func(request int) int {
		if request == 0 {
			<-time.After(o.Window)
		}
		return http.StatusAccepted
	})
	seen, err := o.Run(t.Context(), r.Server)
	if err != nil {
		t.Fatal(err)
	}
	n := len(seen.Arrivals)
	if got := r.numbers(); n < 50 || len(got) != n || got[0] != 100 || got[n-1] != 99+n {
		t.Fatalf("%d arrivals, published %v", n, got)
	}
	answered := seen.Arrivals[0].Add(seen.Responses[0])
	for i, at := range seen.Arrivals {
		if at.Add(seen.Responses[i]).Before(answered) {
			t.Errorf("request %d has a time of %v, from its arrival %v before the first answer", i, seen.Responses[i], answered.Sub(at))
		}
		if seen.Late[i] < 0 || seen.Late[i] > seen.Responses[i] {
			t.Errorf("request %d was late by %v, with a time of %v", i, seen.Late[i], seen.Responses[i])
		}
	}
}

func TestArrivalsHaveTheRate(t *testing.T) {
	const want = 10_000
	at := Open{Rate: 1000, Window: want * time.Millisecond, First: 7}.arrivals()
	if len(at) < want*95/100 || len(at) > want*105/100 || !slices.IsSorted(at) {
		t.Errorf("got %d arrivals, want about %d, in order", len(at), want)
	}
}

func TestQuantileIsOfNearestRank(t *testing.T) {
	var thousand []time.Duration
	for i := range 1000 {
		thousand = append(thousand, time.Duration(1000-i))
	}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 501, 0.99: 991, 0.999: 1000, 1: 1000} {
		if got := Quantile(thousand, q); got != want {
			t.Errorf("%v-quantile is %d, want %d", q, got, want)
		}
	}
	if got := Quantile(nil, 0.5); got != 0 {
		t.Errorf("quantile of nothing is %v", got)
	}
}
