package plugin

import (
	"context"
	"fmt"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// override is what the operator has decided since the configuration was read.
type override struct {
	enabled, paused *bool
	grants          *[]spec.Grant
}

// apply works the decisions into settings.
func (o override) apply(s spec.Settings) spec.Settings {
	if o.enabled != nil {
		s.Enabled, s.Hold = *o.enabled, false
	}
	if o.paused != nil {
		s.Paused = *o.paused
	}
	if o.grants != nil {
		s.Grants = *o.grants
	}
	return s
}

// settle drops the decisions that were persisted: a Reload has them in its settings.
func (o *override) resolveWaiters(c Config) {
	if c.SetEnabled != nil {
		o.enabled = nil
	}
	if c.SetPaused != nil {
		o.paused = nil
	}
	if c.SetGrants != nil {
		o.grants = nil
	}
}

// decision is one change that the operator wants for a plugin.
type decision struct {
	doing string
	// prepare, when set, is run by the loop; none is the answer that there is
	// nothing to do, or an error.
	prepare func(l *loop, e *entry) (none bool, err error)
	persist func(context.Context) error // nil: it lasts as long as the Manager
	apply   func(*override)
	enabled bool // see waiter
}

// SetEnabled persists and applies the operator's decision, and waits until the
// plugin has come to rest in it: active (or rejected, or waiting for approval)
// or, drained, disabled. Should ctx end during that wait the decision stands,
// and the answer is how far the plugin has come. Enabling also lets a held
// plugin go, and tries a rejected one again. fault.NotFound for a name nobody
// has; fault.Conflict for a file without a valid name.
func (m *Manager) SetEnabled(ctx context.Context, name string, enabled bool) (wire.Plugin, error) {
	d := decision{doing: "enable or disable " + name, enabled: enabled, apply: func(o *override) { o.enabled = &enabled }}
	if persist := m.config.SetEnabled; persist != nil {
		d.persist = func(ctx context.Context) error { return persist(ctx, name, enabled) }
	}
	return m.decide(ctx, name, d)
}

// SetPaused persists and applies the operator's decision, and waits until it
// holds. A paused plugin stays loaded and takes no events; they wait for it.
// Otherwise it is like SetEnabled, and independent of it.
func (m *Manager) SetPaused(ctx context.Context, name string, paused bool) (wire.Plugin, error) {
	d := decision{doing: "pause or resume " + name, enabled: true, apply: func(o *override) { o.paused = &paused }}
	if persist := m.config.SetPaused; persist != nil {
		d.persist = func(ctx context.Context) error { return persist(ctx, name, paused) }
	}
	return m.decide(ctx, name, d)
}

// Approve grants a plugin what its manifest asks for, all of it or the
// capabilities named, on top of what is granted already, and waits until the
// plugin has come to rest with that. Where a new file waits for approval while
// an older version runs, it is the new file's manifest that counts. Nothing is
// written when everything is granted already. It grants and does no more: what
// is disabled or held stays so. agreed, when not nil, is shown the plugin as it is
// at the very moment at which what would be granted is worked out, and refuses by
// its error. It is called by the Manager's loop: it must be quick. Without it
// in.SHA256 is not enough where a manifest lies beside the module, of which it says
// nothing.
//
// fault.NotFound for a name nobody has, fault.Invalid for a capability that is
// not asked for, fault.Precondition when in.SHA256 names another module than
// the one that would be approved or says too little, and fault.Conflict while the plugin's file is
// not known.
func (m *Manager) Approve(ctx context.Context, name string, in wire.Approval, precondition func(wire.Plugin) error) (wire.Plugin, error) {
	var grants []spec.Grant
	d := decision{doing: "approve " + name, enabled: true, apply: func(o *override) { o.grants = &grants }}
	d.prepare = func(l *loop, e *entry) (none bool, err error) {
		if precondition != nil {
			p, err := m.Plugin(name) // as the loop has left it, before this
			if err == nil {
				err = precondition(p)
			}
			if err != nil {
				return false, err
			}
		}
		grants, none, err = l.approval(e, in, precondition != nil)
		return none, err
	}
	if persist := m.config.SetGrants; persist != nil {
		d.persist = func(ctx context.Context) error { return persist(ctx, name, grants) }
	}
	return m.decide(ctx, name, d)
}

func (m *Manager) decide(ctx context.Context, name string, d decision) (wire.Plugin, error) {
	select {
	case m.decisions <- struct{}{}:
	case <-ctx.Done():
		return wire.Plugin{}, fault.New(fault.Timeout, "%s: %w", d.doing, ctx.Err())
	}
	answer, err := m.carryOut(ctx, name, d)
	<-m.decisions
	if err != nil {
		return wire.Plugin{}, err
	}
	if answer != nil {
		select {
		case <-answer:
		case <-ctx.Done():
		case <-m.done:
		}
	}
	return m.Plugin(name)
}

// carryOut persists and applies a decision. The answer is closed when the
// plugin has come to rest; nil when there was nothing to do.
func (m *Manager) carryOut(ctx context.Context, name string, d decision) (<-chan struct{}, error) {
	var refusal error
	var none bool
	if err := m.ask(ctx, d.doing, func(l *loop) {
		if what := l.changing[name]; what != "" {
			refusal = underWay(name, what)
			return
		}
		if e := l.entries[name]; e != nil {
			if d.prepare != nil {
				none, refusal = d.prepare(l, e)
			}
			return
		}
		var p wire.Plugin
		if p, refusal = m.Plugin(name); refusal == nil {
			refusal = fault.New(fault.Conflict, "%s is %s: %s", name, p.State, p.Reason)
		}
	}); err != nil {
		return nil, err
	}
	if refusal != nil || none {
		return nil, refusal
	}
	if d.persist != nil {
		if err := d.persist(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", d.doing, err)
		}
	}
	answer := make(chan struct{})
	// The decision is persisted, so it is applied whatever becomes of ctx.
	err := m.ask(context.WithoutCancel(ctx), d.doing, func(l *loop) { l.decided(name, d, answer) })
	return answer, err
}

// decided applies a decision that has been persisted.
func (l *loop) decided(name string, d decision, answer chan struct{}) {
	e := l.entries[name]
	if e == nil || l.closing { // gone since it was asked for
		l.answers = append(l.answers, answer)
		return
	}
	d.apply(&e.override)
	e.waiters = append(e.waiters, waiter{d.enabled, answer})
	for _, f := range l.files {
		if f.name == name {
			f.failed = nil
		}
	}
	if e.running != nil {
		e.running.failed = nil
	}
	l.decide(name)
}

// ConditionChanged tells the Manager that a Running's Stats have another
// Condition, so that the plugin's row and OnChange tell of it. It does not wait.
func (m *Manager) ConditionChanged() {
	select {
	case m.conditions <- struct{}{}:
	default: // it looks at all of them anyway
	}
}
