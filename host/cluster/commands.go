package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// Method carries a command out on this host, which owns the unit; ctx has the fence, and ends with
// the tenure. The unit may not be one of those that this host runs: then no live host runs it.
type Method func(ctx context.Context, unit string, body []byte) ([]byte, error)

const (
	doTimeout  = 30 * time.Second
	orphanFor  = LeaseFor + BeatEvery // a unit that has no owner for longer is taken for a command
	askEvery   = 20 * time.Millisecond
	askRarely  = 200 * time.Millisecond
	asking     = "?"         // the name under which the look for commands is busy
	answerLast = time.Minute // the asker has given up
)

// MemberUnit names a member in Do: a command for it is not one for a unit.
func MemberUnit(id string) string { return "@" + id }

// commands are those of one tenure, or of the member itself. A command is carried out once.
type commands struct {
	mu      sync.Mutex
	closed  bool
	cancels map[*context.CancelFunc]struct{}
	known   map[string]bool // by ID: whether it has come
	running sync.WaitGroup
}

// begin returns the context of a command, unless it has begun before or no command may begin. end
// is to be called when it has ended.
func (c *commands) begin(ctx context.Context, id string) (run context.Context, end func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.known[id] {
		return nil, nil, false
	}
	if c.known == nil {
		c.known, c.cancels = make(map[string]bool), make(map[*context.CancelFunc]struct{})
	}
	c.known[id] = true
	run, cancel := context.WithCancel(ctx)
	c.cancels[&cancel] = struct{}{}
	c.running.Add(1)
	return run, func() {
		cancel()
		c.mu.Lock()
		delete(c.cancels, &cancel)
		c.mu.Unlock()
		c.running.Done()
	}, true
}

// close lets no command begin and waits for those that run, until ctx ends: then it cancels them
// and waits on.
func (c *commands) close(ctx context.Context) {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for cancel := range c.cancels {
			(*cancel)()
		}
	})
	defer stop()
	c.running.Wait()
}

// Do carries a command out where the unit runs: on this host if that owns it, else on the owner,
// whose answer it awaits. When no live host runs the unit, this host takes it, carries the command
// out and gives it back. The errors are those of the method, with code, field and text; fault.Timeout
// when ctx, or half a minute, has ended: the command may be carried out still.
func (c *Cluster) Do(ctx context.Context, unit, method string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, doTimeout)
	defer cancel()
	cmd := spec.ClusterCommand{ID: uuid.NewString(), Unit: unit, Method: method, Body: body}
	if answer, done, err := c.doHere(ctx, cmd); done {
		return answer, err
	}
	return c.doThere(ctx, cmd)
}

// doHere carries a command out if this host owns its unit, and reports whether it did.
func (c *Cluster) doHere(ctx context.Context, cmd spec.ClusterCommand) (answer []byte, done bool, err error) {
	if cmd.Unit == MemberUnit(c.self) {
		answer, err = c.call(ctx, cmd)
		return answer, true, err
	}
	c.mu.Lock()
	t := c.tenures[cmd.Unit]
	c.mu.Unlock()
	if t == nil || !t.Valid() {
		return nil, false, nil
	}
	own, stop := untilDone(spec.WithFence(ctx, t.fence), t)
	defer stop()
	run, end, ok := t.commands.begin(own, cmd.ID)
	if !ok {
		return nil, false, nil
	}
	defer end()
	answer, err = c.call(run, cmd)
	if errors.Is(err, spec.ErrFenced) || err != nil && run.Err() != nil && ctx.Err() == nil {
		return nil, false, nil // the unit was lost: the next owner carries it out
	}
	return answer, true, err
}

// doThere asks the owner and awaits its answer.
func (c *Cluster) doThere(ctx context.Context, cmd spec.ClusterCommand) ([]byte, error) {
	since := c.clock()
	defer c.lookAway(cmd.Unit)
	if err := c.cfg.Ledger.Ask(ctx, cmd); err != nil {
		return nil, err
	}
	c.Refresh()
	var last error
	for wait := askEvery; ; wait = min(2*wait, askRarely) {
		body, failure, done, err := c.cfg.Ledger.Answered(ctx, cmd.ID)
		switch {
		case err != nil:
			last = err
		case done:
			return body, decodeFailure(failure)
		}
		if err := c.lookAfter(cmd.Unit, since); err != nil {
			return nil, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, c.unanswered(ctx, cmd, last)
		}
	}
}

func (c *Cluster) unanswered(ctx context.Context, cmd spec.ClusterCommand, last error) error {
	if last != nil && !errors.Is(last, ctx.Err()) {
		return last
	}
	owner := "no host"
	if host, found := c.Owner(cmd.Unit); found {
		owner = "host " + host.Name
	}
	return fault.New(fault.Timeout, "%s of %s: %s, which runs it, has not answered: look at its state before you repeat the call, it may have been done: %w",
		cmd.Method, cmd.Unit, owner, ctx.Err())
}

// lookAfter sees to it that one host carries the commands of a unit out: see visitOrphans.
func (c *Cluster) lookAfter(unit string, since time.Duration) error {
	now := c.clock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if id, member := memberOf(unit); !member && !c.busy[unit] {
		c.orphans[unit] = orphan{since, now + orphanFor}
	} else if member && !c.sight.alive(id) {
		return fault.New(fault.NotFound, "the cluster has no live host with the ID %s", fault.Quote(id))
	}
	return nil
}

func (c *Cluster) lookAway(unit string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.orphans, unit)
}

// orphan is a unit with a command of this host.
type orphan struct{ since, until time.Duration }

// visitOrphans takes the units for whose commands this host waits and which no live host can run, or
// which have had no owner for orphanFor.
func (c *Cluster) visitOrphans(ctx context.Context, now time.Duration, owners map[string]string) {
	for unit, o := range c.orphans {
		u, _ := c.unit(unit)
		switch {
		case now >= o.until:
			delete(c.orphans, unit)
		case u.Owner != "" || c.tenures[unit] != nil || c.leaving || c.rival != nil:
		case (owners[unit] == "" || now-o.since >= orphanFor) && c.begin(unit):
			delete(c.orphans, unit)
			c.start(ctx, unit, func() bool { return c.visit(ctx, unit, u) })
		}
	}
}

// visit takes a unit that nobody runs, carries its commands out and gives it back.
func (c *Cluster) visit(ctx context.Context, unit string, seen spec.Unit) bool {
	t := c.acquire(ctx, unit, seen)
	if t == nil {
		return true
	}
	if list, err := c.asked(ctx, []string{unit}); err != nil {
		c.log.Warn("read the commands for a unit", "unit", unit, "error", err)
	} else {
		for _, cmd := range list {
			if err := c.carryOut(ctx, t, &t.commands, cmd); errors.Is(err, spec.ErrFenced) && t.Valid() {
				c.answer(ctx, cmd.ID, nil, encodeFailure(notRun(cmd)))
			}
		}
	}
	grace, cancel := context.WithTimeout(ctx, c.cfg.Grace)
	defer cancel()
	t.commands.close(grace)
	c.forget(t)
	return c.give(ctx, t.fence)
}

// notRun answers a command that only a host that runs the unit can carry out, while none does though
// one may at any moment.
func notRun(cmd spec.ClusterCommand) error {
	return &fault.Error{Code: fault.Unavailable, RetryAfter: LeaseFor, Reason: fmt.Sprintf("%s of %s: no host runs it now, and one may begin to at "+
		"any moment: see berth cluster status, and repeat the call", cmd.Method, cmd.Unit)}
}

func memberOf(unit string) (id string, found bool) {
	if unit != "" && unit[0] == '@' {
		return unit[1:], true
	}
	return "", false
}

func (c *Cluster) asked(ctx context.Context, units []string) ([]spec.ClusterCommand, error) {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return c.cfg.Ledger.Asked(call, units)
}

// pollCommands looks for the commands for this host and its units.
func (c *Cluster) pollCommands(ctx context.Context) {
	now := c.clock()
	c.mu.Lock()
	defer c.mu.Unlock()
	units := []string{MemberUnit(c.self)}
	for unit, t := range c.tenures {
		if t.validAt(now) {
			units = append(units, unit)
		}
	}
	if !c.begin(asking) {
		return
	}
	c.work.Go(func() {
		list, err := c.asked(ctx, units)
		if err != nil && ctx.Err() == nil {
			c.log.Warn("read the commands of other hosts", "error", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.busy, asking)
		for _, cmd := range list {
			if cmd.Unit == MemberUnit(c.self) {
				c.work.Go(func() { _ = c.carryOut(ctx, nil, &c.commands, cmd) })
			} else if t := c.tenures[cmd.Unit]; t != nil {
				c.work.Go(func() { _ = c.carryOut(ctx, t, &t.commands, cmd) })
			}
		}
	})
}

// carryOut carries out a command of another host, unless that was begun before, and answers it. The
// error is that of a command which is left to the next owner.
func (c *Cluster) carryOut(ctx context.Context, t *Tenure, list *commands, cmd spec.ClusterCommand) error {
	own := ctx
	if t != nil {
		if !t.Valid() {
			return nil
		}
		var stop context.CancelFunc
		own, stop = untilDone(spec.WithFence(ctx, t.fence), t)
		defer stop()
	}
	run, end, ok := list.begin(own, cmd.ID)
	if !ok {
		return nil
	}
	body, err := c.call(run, cmd)
	cancelled := run.Err() != nil
	end()
	if errors.Is(err, spec.ErrFenced) || err != nil && cancelled {
		return err
	}
	c.answer(ctx, cmd.ID, body, encodeFailure(err))
	return nil
}

// answer stores an answer, and tries again for a while.
func (c *Cluster) answer(ctx context.Context, id string, body []byte, failure string) {
	for until := c.clock() + answerLast; ; {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		err := c.cfg.Ledger.Answer(call, id, body, failure)
		cancel()
		if err == nil || c.clock() >= until {
			return
		}
		select {
		case <-time.After(minRetry):
		case <-ctx.Done():
			return
		}
	}
}

func (c *Cluster) call(ctx context.Context, cmd spec.ClusterCommand) ([]byte, error) {
	method := c.cfg.Methods[cmd.Method]
	if method == nil {
		return nil, fault.New(fault.Invalid, "host %s does not know the command %s: run the same version of Berth on all hosts",
			c.cfg.Member().Name, fault.Quote(cmd.Method))
	}
	return method(ctx, cmd.Unit, cmd.Body)
}

// refusal is an error as it is stored in the ledger.
type refusal struct {
	Text       string        `json:"text"`
	Code       fault.Code    `json:"code"`
	Field      string        `json:"field,omitempty"`
	Reason     string        `json:"reason"`
	RetryAfter time.Duration `json:"retry_after_ns,omitempty"`
}

func encodeFailure(err error) string {
	if err == nil {
		return ""
	}
	public := fault.Public(err.Error(), err)
	r := refusal{Text: public, Code: fault.CodeOf(err), Reason: public}
	var known *fault.Error
	if errors.As(err, &known) {
		r.Field, r.Reason, r.RetryAfter = known.Field, fault.Public(known.Reason, err), known.RetryAfter
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func decodeFailure(text string) error {
	if text == "" {
		return nil
	}
	var r refusal
	if json.Unmarshal([]byte(text), &r) != nil || r.Code == "" {
		return fault.New(fault.Internal, "the answer of another host cannot be read: %s", fault.Quote(text))
	}
	return remoteError{r.Text, &fault.Error{Code: r.Code, Field: r.Field, Reason: r.Reason, RetryAfter: r.RetryAfter}}
}

// remoteError is the error of another host: its text, and what has the code.
type remoteError struct {
	text string
	err  *fault.Error
}

func (e remoteError) Error() string { return e.text }
func (e remoteError) Unwrap() error { return e.err }
