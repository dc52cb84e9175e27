package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
	"github.com/berth-host/berth/testdata/hostile"
)

// dropped are the hostile modules that are dropped beside a healthy one: one of
// every kind. host/sandbox tests the others.
var dropped = []string{
	"import_count_bomb_of_14_bytes", "loop_free_fib_60", "spin_after_next", "exit_0_before_next", "trap_unreachable",
	"deep_recursion", "memory_fill_64_mib", "iovec_bomb_of_empty_pieces", "exit_4026531839_with_event", "component",
	"locals_bomb", "flat_loops", "names_itself_env", "imports_the_meter", "result_is_not_json", "next_after_end",
	"stdio_spin", "data_segment_outside",
}

// TestHostileModulesInADirectory holds Must show 1: whatever is dropped into a
// watched directory beside a healthy plugin under load, the host stays up, the
// plugin's deliveries go on, and the module's state says what it is.
func TestHostileModulesInADirectory(t *testing.T) {
	dir, config, plugins := workplace(t)
	text := "plugin_directories: [" + plugins + "]\nroutes:\n  \"*\": {}\ndefaults:\n  limits:\n    timeout: 100ms\n"
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(plugins, "echo.wasm"), guest(t, "echo"))
	s := serve(t, dir, config)
	s.active(t, "echo")
	// It spins for as long as a start may take: what becomes of it is seen last.
	write(t, filepath.Join(plugins, "starter.wasm"), hostile.Named("spin_in_start_section").Wasm)

	ctx, stop := context.WithCancel(t.Context())
	published := make(chan []sent, 1)
	go func() { published <- publish(ctx, s.Client) }()
	for _, name := range dropped {
		c := hostile.Named(name)
		state := s.drop(t, plugins, c)
		t.Logf("%-30s %s", name, state)
	}
	stop()
	events := <-published

	await(t, "starter is rejected", func() error {
		p, err := s.plugin(t, "starter")
		if err == nil && (p.State != wire.Rejected || !strings.Contains(p.Reason, "longer than")) {
			err = fmt.Errorf("it is %s: %s", p.State, p.Reason)
		}
		return err
	})
	var waits []time.Duration
	for _, e := range events {
		d := s.delivered(t, e.id, "echo")
		if d.Attempts != 1 {
			t.Errorf("%s took the neighbour %d attempts: %+v", e.id, d.Attempts, d.Error)
		}
		waits = append(waits, d.At.Sub(e.at))
	}
	if len(waits) < len(dropped) {
		t.Fatalf("there were only %d events", len(waits))
	}
	slices.Sort(waits)
	p99 := waits[len(waits)*99/100]
	t.Logf("the neighbour was delivered %d events: p50 %v, p99 %v, worst %v behind their publishing",
		len(waits), waits[len(waits)/2], p99, waits[len(waits)-1])
	if p99 > 2*time.Second {
		t.Errorf("the neighbour's p99 is %v", p99)
	}
	s.terminate(t)
}

// drop puts a module into the directory, waits until the host says what it is,
// and takes it away again.
func (s *server) drop(t *testing.T, plugins string, c hostile.Case) string {
	t.Helper()
	name := strings.ReplaceAll(c.Name, "_", "-")
	path := filepath.Join(plugins, name+".wasm")
	write(t, path, c.Wasm)
	state := ""
	await(t, c.Name+" shows what it is", func() error {
		p, err := s.plugin(t, name)
		if err != nil {
			return err
		}
		refusal := c.Refused + c.Unstarted
		state = fmt.Sprintf("%s %.120s", p.State, strings.SplitN(p.Reason, "\n", 2)[0])
		switch {
		case refusal != "" && p.State == wire.Rejected && strings.Contains(p.Reason, refusal):
			return nil
		case refusal == "" && p.State != wire.Rejected && c.Class == "" && p.Delivered > 0:
			return nil
		case refusal == "" && p.State != wire.Rejected && c.Class != "" && p.Failed > 0:
			class := s.class(t, name)
			if class == c.Class || c.Slow && class == event.ClassTimeout { // it may not come to its own end in time
				state = fmt.Sprintf("%s, failed: %s", p.State, class)
				return nil
			}
			return fmt.Errorf("its deliveries fail as %q, want %q", class, c.Class)
		}
		return fmt.Errorf("it is %s (%d delivered, %d failed): %s", p.State, p.Delivered, p.Failed, p.Reason)
	})
	s.report(t, name, c)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	await(t, c.Name+" is gone", func() error {
		p, err := s.plugin(t, name)
		var gone client.Problem
		if errors.As(err, &gone) && gone.Status == http.StatusNotFound {
			return nil
		}
		return fmt.Errorf("it is %s: %v", p.State, err)
	})
	return state
}

// report holds that the API shows what vetting found, of refused modules too.
func (s *server) report(t *testing.T, name string, c hostile.Case) {
	t.Helper()
	if c.Name == "component" {
		return // its header determines it, before it is inspected
	}
	var r struct {
		SHA256 string `json:"sha256"`
		Error  *struct {
			Reason string `json:"reason"`
		} `json:"error,omitempty"`
	}
	if _, err := s.Call(t.Context(), "GET", "/api/v1/plugins/"+name+"/report", nil, &r); err != nil {
		t.Errorf("report of %s: %v", name, err)
		return
	}
	if want := fmt.Sprintf("%x", sha256.Sum256(c.Wasm)); r.SHA256 != want {
		t.Errorf("report of %s is of %s, want %s", name, r.SHA256, want)
	}
	if (r.Error != nil) != (c.Refused != "") {
		t.Errorf("report of %s: error %+v, want one with %q", name, r.Error, c.Refused)
	}
}

func (s *server) plugin(t *testing.T, name string) (p wire.Plugin, err error) {
	_, err = s.Call(t.Context(), "GET", "/api/v1/plugins/"+name, nil, &p)
	return p, err
}

// class returns the class of the error that a delivery of a handler has, of any event: the newest one
// can wait for the breaker.
func (s *server) class(t *testing.T, handler string) event.Class {
	t.Helper()
	class := ""
	await(t, "a delivery of "+handler+" has failed", func() error {
		for _, status := range []event.Status{event.StatusRetrying, event.StatusDead} {
			var failed wire.List[wire.Event]
			if _, err := s.Call(t.Context(), "GET", "/api/v1/events?handler="+handler+"&limit=1&status="+string(status), nil, &failed); err != nil {
				return err
			}
			for _, found := range failed.Items {
				var meta event.Metadata
				if err := json.Unmarshal(found.Metadata, &meta); err != nil {
					return err
				}
				var ev wire.Event
				if _, err := s.Call(t.Context(), "GET", "/api/v1/events/"+meta.EventID, nil, &ev); err != nil {
					return err
				}
				for _, d := range ev.Deliveries {
					if d.Plugin == handler && d.Error != nil {
						class = d.Error.Class
						return nil
					}
				}
			}
		}
		return errors.New("no event is retrying or dead")
	})
	return event.Class(class)
}

// sent is an event and when it was on its way to the host.
type sent struct {
	id string
	at time.Time
}

func post(ctx context.Context, c *client.Client) (r wire.Receipt, err error) {
	body := map[string]any{"event_type": "load", "data": map[string]string{"status": "x"}}
	_, err = c.Call(ctx, "POST", "/api/v1/events", body, &r)
	return r, err
}

// publish publishes twenty events a second until ctx ends.
func publish(ctx context.Context, c *client.Client) (events []sent) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		at := time.Now()
		r, err := post(context.WithoutCancel(ctx), c)
		if err == nil {
			events = append(events, sent{r.EventID, at})
		}
		select {
		case <-ctx.Done():
			return events
		case <-tick.C:
		}
	}
}
