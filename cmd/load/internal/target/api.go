package target

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	idleLimit = 30 * time.Minute // for all deliveries of a measurement
	idlePoll  = 10 * time.Millisecond
)

// API makes the calls beside the measured ones. It is safe for concurrent use.
type API struct {
	URL   string // such as http://127.0.0.1:8080
	Token string // the admin token
	host  *Host
}

// Get decodes the answer to a GET.
func (a *API) Get(ctx context.Context, path string, answer any) error {
	return a.call(ctx, http.MethodGet, path, nil, answer)
}

// Post posts JSON and decodes the answer.
func (a *API) Post(ctx context.Context, path string, body []byte, answer any) error {
	return a.call(ctx, http.MethodPost, path, body, answer)
}

func (a *API) call(ctx context.Context, method, path string, body []byte, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, a.URL+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+a.Token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text)
	}
	return json.Unmarshal(text, answer)
}

// Log is the state of the event log.
type Log struct {
	FirstSeq uint64   `json:"first_seq"`
	LastSeq  uint64   `json:"last_seq"`
	Events   uint64   `json:"events"`
	Bytes    int64    `json:"bytes"`
	Handlers []Reader `json:"handlers"`
}

// Reader is how far a handler is.
type Reader struct {
	Plugin         string `json:"plugin"`
	Lag            uint64 `json:"lag"`
	Cursor         uint64 `json:"cursor"`
	Dead           uint64 `json:"dead"`
	HistorySkipped uint64 `json:"history_skipped"` // of an older host: successes that it has not stored
}

// Log returns the state of the event log.
func (a *API) Log(ctx context.Context) (log Log, err error) {
	return log, a.Get(ctx, "/api/v1/events/log", &log)
}

// AwaitDelivered waits until every outcome of every event is stored, at all n handlers.
func (a *API) AwaitDelivered(ctx context.Context, n int) error {
	return a.host.until(ctx, idleLimit, idlePoll, "all events are delivered", func(ctx context.Context) error {
		log, err := a.Log(ctx)
		if err != nil {
			return err
		}
		if len(log.Handlers) != n {
			return fmt.Errorf("%d of %d handlers", len(log.Handlers), n)
		}
		for _, h := range log.Handlers {
			if h.Lag > 0 || h.Cursor < log.LastSeq {
				return fmt.Errorf("%s is at %d of %d, with %d to deliver", h.Plugin, h.Cursor, log.LastSeq, h.Lag)
			}
		}
		return nil
	})
}

// AwaitHandlers waits until n handlers are in a state: active or paused.
func (a *API) AwaitHandlers(ctx context.Context, n int, state string) error {
	return a.host.until(ctx, startLimit, idlePoll, "the handlers start", func(ctx context.Context) error {
		var list struct {
			Items []struct{ Name, State, Reason string }
		}
		if err := a.Get(ctx, "/api/v1/events/plugins", &list); err != nil {
			return err
		}
		for _, p := range list.Items {
			if p.State != state {
				return fmt.Errorf("%s is %s: %s", p.Name, p.State, p.Reason)
			}
		}
		if len(list.Items) != n {
			return fmt.Errorf("%d of %d handlers are there", len(list.Items), n)
		}
		return nil
	})
}

// Delivery is the delivery of an event to a handler.
type Delivery struct {
	Plugin     string          `json:"plugin"`
	Status     string          `json:"status"`
	Attempts   int             `json:"attempts"`
	Result     json.RawMessage `json:"result"`
	DurationMS float64         `json:"duration_ms"`
	Fuel       uint64          `json:"fuel"`
	At         time.Time       `json:"at"`
}

// Deliveries returns the deliveries of the event with an idempotency key.
func (a *API) Deliveries(ctx context.Context, key string) ([]Delivery, error) {
	var ev struct {
		Deliveries []Delivery `json:"deliveries"`
	}
	err := a.Get(ctx, "/api/v1/events/"+key, &ev)
	return ev.Deliveries, err
}

// Kept reports whether the host shows the result: older ones have left out some.
func (d Delivery) Kept() bool { return len(d.Result) > 0 && string(d.Result) != "null" }

// Delivered returns how many events the handlers have had since the host started.
func (a *API) Delivered(ctx context.Context) (total uint64, err error) {
	var list struct {
		Items []struct{ Delivered uint64 }
	}
	err = a.Get(ctx, "/api/v1/events/plugins", &list)
	for _, p := range list.Items {
		total += p.Delivered
	}
	return total, err
}
