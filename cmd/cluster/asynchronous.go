package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"

	"github.com/berth-host/berth/cmd/cluster/internal/check"
	"github.com/berth-host/berth/cmd/cluster/internal/fleet"
)

// lossSaid is how a host's log says that the database has lost events.
var lossSaid = regexp.MustCompile(`level=ERROR msg="the database has lost events.* last_seq=(\d+) present_seq=(\d+)`)

// asynchronous promotes a standby that lacks the last commits. What it lacks is lost; each host
// has to say so, and the events can be published again.
func asynchronous(ctx context.Context, t *trial) error {
	standby, err := t.Server.Standby()
	if err != nil {
		return err
	}
	// The server does not wait for it any more, and it stops to follow.
	err = t.Server.Exec("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
	if err == nil {
		err = t.load.AwaitMore(ctx, t.calm)
	}
	if err == nil {
		err = standby.Exec("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
	}
	if err == nil {
		err = t.load.AwaitMore(ctx, t.calm)
	}
	var before []check.Acknowledged
	if err == nil {
		if t.earlier, err = t.load.Stop(); err == nil {
			before, _, err = t.Outcomes(ctx, t.earlier)
		}
	}
	if err == nil {
		err = t.Server.Kill()
	}
	if err == nil {
		err = standby.Promote()
	}
	if err != nil {
		standby.Close()
		return err
	}
	t.Replace(standby)
	kept, err := t.awaitLossSaid(ctx, before)
	if err != nil {
		return err
	}
	if err := t.StartAll(ctx); err != nil {
		return err
	}
	lost := 0
	for i, ev := range before {
		var shown fleet.Shown
		err := t.Hosts[i%len(t.Hosts)].Show(ctx, ev.Event, &shown)
		gone := false
		if status := (fleet.StatusError{}); errors.As(err, &status) && status.Status == http.StatusNotFound {
			gone, err = true, nil
		}
		if err != nil {
			return err
		}
		if gone != (ev.Seq > kept) {
			return fmt.Errorf("the hosts said that events up to %d are there; event %v with Seq %d is not as they said", kept, ev.Event, ev.Seq)
		}
		if !gone {
			continue
		}
		lost++
		if err := t.Hosts[i%len(t.Hosts)].Publish(ctx, ev.Event); err != nil {
			return fmt.Errorf("publish event %v again: %w", ev.Event, err)
		}
	}
	if lost == 0 {
		return errors.New("the standby lacked nothing: the failure was none")
	}
	t.note("lost by the database: %d events; each host said which, and ended; all were published again", lost)
	t.load = t.Publish(ctx, "after", keys, publishWait)
	return nil
}

// awaitLossSaid returns when every host has ended and has said that events were lost: all from
// the last one that was acknowledged down to the Seq that is returned.
func (t *trial) awaitLossSaid(ctx context.Context, acked []check.Acknowledged) (kept uint64, err error) {
	last := uint64(0)
	for _, ev := range acked {
		last = max(last, ev.Seq)
	}
	limited, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	for _, h := range t.Hosts {
		log, err := h.AwaitEnd(limited)
		if err != nil {
			return 0, err
		}
		said := lossSaid.FindStringSubmatch(log)
		if said == nil {
			return 0, fmt.Errorf("%s ended, but did not say that events were lost", h.Name)
		}
		seen, err1 := strconv.ParseUint(said[1], 10, 64)
		present, err2 := strconv.ParseUint(said[2], 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return 0, err
		}
		if seen != last || kept != 0 && present != kept {
			return 0, fmt.Errorf("%s said that events %d to %d were lost; the last one was %d, and another host said that %d is there", h.Name, present+1, seen, last, kept)
		}
		kept = present
	}
	return kept, nil
}
