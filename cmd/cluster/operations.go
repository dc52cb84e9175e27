package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/berth-host/berth/cmd/cluster/internal/check"
	"github.com/berth-host/berth/cmd/cluster/internal/fleet"
)

const (
	installed = "installed" // the handler of operations
	pluginURL = "/api/v1/events/plugins/" + installed
	// quietWithin is the time after the answer to a pause within which a handler begins its last
	// attempt: other hosts see settings at their next beat at the latest.
	quietWithin = 1500 * time.Millisecond
)

// operations does to a handler what operators do, each time on a host that does not run it,
// while events are published.
func operations(ctx context.Context, t *trial) error {
	for _, step := range []struct {
		name string
		do   func(context.Context, *trial) error
	}{
		{"install", install}, {"pause and resume", pause}, {"retry and redrive", redrive}, {"replay", replay}, {"uninstall", uninstall},
	} {
		began := time.Now()
		if err := step.do(ctx, t); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		t.note("%s: %.1f s", step.name, time.Since(began).Seconds())
	}
	return nil
}

// elsewhere returns a host that does not run the installed handler, or its first shard, another one
// each time.
func (t *trial) elsewhere(ctx context.Context) (h *fleet.Host, err error) {
	err = fleet.Until(ctx, answerLimit, func(ctx context.Context) error {
		v, err := view(ctx, t.Hosts[0])
		if err != nil {
			return err
		}
		owners := v.owners()
		owner := cmp.Or(owners[installed], owners[installed+"/0"])
		if owner == "" {
			return errors.New("no host runs the handler")
		}
		for {
			h = t.Hosts[t.next%len(t.Hosts)]
			if t.next++; h.Name != owner {
				return nil
			}
		}
	})
	return h, err
}

// call sends a request to a host that does not run the handler.
func (t *trial) call(ctx context.Context, method, path string, body, answer any) error {
	h, err := t.elsewhere(ctx)
	if err != nil {
		return err
	}
	if err := h.Call(ctx, method, path, body, answer); err != nil {
		return fmt.Errorf("%s: %s %s: %w", h.Name, method, path, err)
	}
	return nil
}

// install installs the handler: the first call is answered with what it asks for, the second
// one grants that.
func install(ctx context.Context, t *trial) error {
	url, sum, err := t.Offer(ctx)
	if err != nil {
		return err
	}
	body := map[string]any{"url": url, "sha256": sum}
	err = t.Hosts[0].Call(ctx, http.MethodPost, "/api/v1/plugins/install", body, nil)
	status := fleet.StatusError{}
	if !errors.As(err, &status) || status.Status != http.StatusConflict {
		return fmt.Errorf("without a grant the answer is %v, not 409", err)
	}
	var asked struct {
		Plan struct {
			Digest string `json:"digest"`
		} `json:"plan"`
	}
	if err := json.Unmarshal([]byte(status.Text), &asked); err != nil {
		return err
	}
	body["approve"] = asked.Plan.Digest
	if err := t.Hosts[1].Call(ctx, http.MethodPost, "/api/v1/plugins/install", body, nil); err != nil {
		return fmt.Errorf("with the grant: %w", err)
	}
	if err := t.everywhere(ctx, func(p plugin) bool { return p.State == "active" || p.State == "standby" }); err != nil {
		return err
	}
	return t.caughtUp(ctx, t.load.Acknowledged())
}

// plugin is the handler as a host shows it.
type plugin struct {
	State string `json:"state"`
}

// everywhere returns when every host shows the handler in some way.
func (t *trial) everywhere(ctx context.Context, ok func(plugin) bool) error {
	return fleet.Until(ctx, answerLimit, func(ctx context.Context) error {
		for _, h := range t.Hosts {
			var p plugin
			if err := h.Call(ctx, http.MethodGet, pluginURL, nil, &p); err != nil {
				return fmt.Errorf("%s: %w", h.Name, err)
			}
			if !ok(p) {
				return fmt.Errorf("it is %s on %s", p.State, h.Name)
			}
		}
		return nil
	})
}

// ends counts the attempts of the handler that succeeded, by event.
func (t *trial) ends() map[check.Event]int {
	count := make(map[check.Event]int)
	for _, r := range t.Recorder.Records() {
		if r.Handler == installed && r.What == check.End {
			count[r.Event]++
		}
	}
	return count
}

// caughtUp returns when the handler has handled events.
func (t *trial) caughtUp(ctx context.Context, events []check.Event) error {
	return fleet.Until(ctx, answerLimit, func(context.Context) error {
		ends := t.ends()
		for _, ev := range events {
			if ends[ev] == 0 {
				return fmt.Errorf("it has not handled event %v", ev)
			}
		}
		return nil
	})
}

// lastBegin returns how long after a moment the handler began its last attempt.
func (t *trial) lastBegin(from time.Duration) (last time.Duration) {
	for _, r := range t.Recorder.Records() {
		if r.Handler == installed && r.What == check.Begin && r.At > from {
			last = max(last, r.At-from)
		}
	}
	return last
}

// pause pauses the handler and resumes it.
func pause(ctx context.Context, t *trial) error {
	if err := t.call(ctx, http.MethodPost, pluginURL+"/pause", nil, nil); err != nil {
		return err
	}
	answered := t.Clock()
	if err := wait(ctx, quietWithin); err != nil {
		return err
	}
	if err := t.load.AwaitMore(ctx, t.calm); err != nil {
		return err
	}
	last := t.lastBegin(answered)
	t.note("the last attempt began %v after the answer to the pause", last.Round(time.Millisecond))
	if last > quietWithin {
		return fmt.Errorf("it still began attempts %v after the answer", last)
	}
	if err := t.everywhere(ctx, func(p plugin) bool { return p.State == "paused" }); err != nil {
		return err
	}
	if err := t.Hosts[t.next%len(t.Hosts)].Call(ctx, http.MethodPost, pluginURL+"/resume", nil, nil); err != nil {
		return err
	}
	return t.caughtUp(ctx, t.load.Acknowledged())
}

const deadPrefix = "dead-" // of the keys of events that the handler fails with

// redrive makes dead letters of three events, retries one of them and redrives the others.
func redrive(ctx context.Context, t *trial) error {
	t.Recorder.Refuse(func(r check.Record) bool { return r.Handler == installed && strings.HasPrefix(r.Key, deadPrefix) })
	defer t.Recorder.Refuse(nil)
	events := []check.Event{{Key: deadPrefix + "1", N: 1}, {Key: deadPrefix + "2", N: 1}, {Key: deadPrefix + "3", N: 1}}
	for i, ev := range events {
		if err := t.Hosts[i%len(t.Hosts)].Publish(ctx, ev); err != nil {
			return err
		}
		t.load.Add(ev)
	}
	if err := t.awaitStatus(ctx, events, "dead"); err != nil {
		return err
	}
	t.Recorder.Refuse(nil)
	h, err := t.elsewhere(ctx)
	if err != nil {
		return err
	}
	var shown fleet.Shown
	if err := h.Show(ctx, events[0], &shown); err != nil {
		return err
	}
	only := map[string]any{"plugin": installed}
	if err := t.call(ctx, http.MethodPost, "/api/v1/events/"+shown.Metadata.EventID+"/retry", only, nil); err != nil {
		return err
	}
	var redriven struct {
		Redriven int `json:"redriven"`
	}
	if err := t.awaitStatus(ctx, events[:1], "ok"); err != nil {
		return err
	}
	if err := t.call(ctx, http.MethodPost, "/api/v1/events/dead-letters/redrive", only, &redriven); err != nil {
		return err
	}
	if redriven.Redriven != len(events)-1 {
		return fmt.Errorf("%d dead letters were redriven, not %d", redriven.Redriven, len(events)-1)
	}
	return t.awaitStatus(ctx, events, "ok")
}

// awaitStatus returns when the handler's outcome of events is as wanted on every host.
func (t *trial) awaitStatus(ctx context.Context, events []check.Event, want string) error {
	return fleet.Until(ctx, answerLimit, func(ctx context.Context) error {
		for i, ev := range events {
			var shown fleet.Shown
			if err := t.Hosts[i%len(t.Hosts)].Show(ctx, ev, &shown); err != nil {
				return err
			}
			status := "not delivered"
			for _, d := range shown.Deliveries {
				if d.Plugin == installed {
					status = d.Status
				}
			}
			if status != want {
				return fmt.Errorf("event %v is %s, not %s", ev, status, want)
			}
		}
		return nil
	})
}

// replay has the handler handle a part of the log again, and expects that it handles every
// event of that part once more, and no other one.
func replay(ctx context.Context, t *trial) error {
	events := t.load.Acknowledged()
	if err := t.caughtUp(ctx, events); err != nil {
		return err
	}
	acked, finals, err := t.Outcomes(ctx, events)
	if err != nil {
		return err
	}
	t.aside = check.Check(check.Log{Handlers: []string{installed}, Acknowledged: acked, Finals: finals, Records: recordsOf(t.Recorder.Records(), installed)})
	before := t.ends()
	first, last := acked[0].Seq, acked[t.calm/2].Seq
	var answer struct {
		From uint64 `json:"from_seq"`
		To   uint64 `json:"to_seq"`
	}
	body := map[string]any{"plugin": installed, "from": first, "to": last}
	if err := t.call(ctx, http.MethodPost, "/api/v1/events/replay", body, &answer); err != nil {
		return err
	}
	if answer.From != first || answer.To != last {
		return fmt.Errorf("the answer says %d to %d, not %d to %d", answer.From, answer.To, first, last)
	}
	again := 0
	within := func(a check.Acknowledged) int {
		if a.Seq >= first && a.Seq <= last {
			return 1
		}
		return 0
	}
	for _, a := range acked {
		again += within(a)
	}
	right := func(context.Context) error {
		ends := t.ends()
		for _, a := range acked {
			if got, want := ends[a.Event]-before[a.Event], within(a); got != want {
				return fmt.Errorf("event %v (Seq %d) was handled %d times again, not %d times", a.Event, a.Seq, got, want)
			}
		}
		return nil
	}
	if err := fleet.Until(ctx, answerLimit, right); err != nil {
		return err
	}
	if err := t.load.AwaitMore(ctx, t.calm); err != nil {
		return err
	}
	t.note("replayed: %d events, each once", again)
	return right(ctx)
}

// uninstall removes the handler, and expects that it begins nothing after the answer.
func uninstall(ctx context.Context, t *trial) error {
	if err := t.caughtUp(ctx, t.load.Acknowledged()); err != nil {
		return err
	}
	if err := t.call(ctx, http.MethodDelete, "/api/v1/plugins/uninstall/"+installed, nil, nil); err != nil {
		return err
	}
	answered := t.Clock()
	err := fleet.Until(ctx, answerLimit, func(ctx context.Context) error {
		for _, h := range t.Hosts {
			err := h.Call(ctx, http.MethodGet, pluginURL, nil, nil)
			if status := (fleet.StatusError{}); !errors.As(err, &status) || status.Status != http.StatusNotFound {
				return fmt.Errorf("%s still has it: %v", h.Name, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	gone := t.Clock()
	if err := t.load.AwaitMore(ctx, t.calm); err != nil {
		return err
	}
	t.note("it was gone on every host %v after the answer; its last attempt began %v after it", (gone - answered).Round(time.Millisecond),
		t.lastBegin(answered).Round(time.Millisecond))
	if late := t.lastBegin(gone); late > 0 {
		return fmt.Errorf("it began an attempt %v after it was gone", late)
	}
	return nil
}
