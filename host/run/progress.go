package run

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/shards"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Progress returns that of the units that run here. It is for spec.Member.
func (r *Runner) Progress() map[string]spec.Progress {
	all := make(map[string]spec.Progress)
	last := r.Units.Last() // before the figures: what is appended meanwhile rather counts twice than never
	for _, v := range r.live.all() {
		for _, src := range v.units {
			if src.Standby() {
				continue
			}
			s := src.Stats()
			p := spec.Progress{Open: s.Open, Lag: s.Lag, Last: last}
			if c := s.Condition; c.State == wire.BreakerOpen || c.State == wire.Stuck {
				p.State, p.Reason, p.Since = string(c.State), c.Reason, c.Since
			}
			all[src.Unit()] = p
		}
	}
	return all
}

// unitFigures returns the figures of a unit. Open and Lag of one that another host runs are those
// that its owner has published: not all of them are in the store. Later events are unread.
func (r *Runner) unitFigures(ctx context.Context, unit string) (delivery.Figures, error) {
	f, err := r.Dispatcher.Figures(ctx, unit)
	if err != nil || r.Units.Owner == nil || r.Dispatcher.Runs(unit) {
		return f, err
	}
	owner, _ := r.Units.Owner(unit)
	if p, found := owner.Progress[unit]; found {
		f.Open, f.Lag = p.Open, p.Lag+max(r.Units.Last(), p.Last)-p.Last
	}
	return f, nil
}

// sum adds up the figures of the units of a handler.
type sum struct {
	units, open, unread uint64
	oldest              uint64
}

func (s *sum) add(f delivery.Figures) {
	s.units++
	s.open += f.Open
	s.unread += f.Lag - f.Open
	if f.Lag > 0 && (s.oldest == 0 || f.Oldest < s.oldest) {
		s.oldest = f.Oldest
	}
}

// figures returns the figures of the handler. Each unit counts every event that it has not read, of
// which one in units is its own.
func (s *sum) figures() delivery.Figures {
	f := delivery.Figures{Open: s.open, Lag: s.open, Oldest: s.oldest}
	if s.units > 0 {
		f.Lag += (s.unread + s.units - 1) / s.units
	}
	return f
}

// figures returns the figures of the handler of a plugin. On an error they are those of the units before.
func (r *Runner) figures(ctx context.Context, plugin string) (delivery.Figures, error) {
	var s sum
	for _, unit := range r.Units.Known(plugin) {
		f, err := r.unitFigures(ctx, unit)
		if err != nil {
			return s.figures(), err
		}
		s.add(f)
	}
	return s.figures(), nil
}

// withCondition returns a plugin of several shards with the worst condition of them, on any host. The
// other shards in that condition are named after it.
func (r *Runner) withCondition(p wire.Plugin) wire.Plugin {
	units := r.Units.Known(p.Name)
	if len(units) == 1 || r.Units.Owner == nil {
		return p
	}
	switch p.State {
	case wire.Active, wire.Standby, wire.BreakerOpen, wire.Stuck:
	default:
		return p
	}
	here := r.Progress()
	var worst spec.Progress
	var names []string
	for shard, unit := range units {
		owner, _ := r.Units.Owner(unit)
		c, found := here[unit]
		if !found {
			c = owner.Progress[unit]
		}
		if c.State == "" || c.State != worst.State && worst.State == string(wire.Stuck) {
			continue
		}
		if c.State != worst.State {
			worst, names = c, nil
		}
		names = append(names, strings.TrimSuffix(fmt.Sprintf("shard %d on %s", shard, owner.Name), " on "))
	}
	if worst.State != "" {
		p.State, p.Since = wire.PluginState(worst.State), worst.Since
		if p.Reason = names[0] + ": " + worst.Reason; len(names) > 1 {
			p.Reason += "; the same state: " + strings.Join(names[1:], ", ")
		}
	}
	return p
}

// waitsFor says what a change of the shards of a plugin waits for that has open events; "" when it
// does not wait.
func (r *Runner) waitsFor(ctx context.Context, p wire.Plugin, open uint64) (text string) {
	g := r.Units.Generations.Of(p.Name)
	if g.Stage != shards.Draining {
		return ""
	}
	list := fmt.Sprintf("berth events list --handler %s --status retrying", p.Name)
	switch p.State {
	case wire.Paused:
		text = "the handler is paused: berth plugin resume " + p.Name
	case wire.Active, wire.Standby, wire.BreakerOpen, wire.Stuck:
		if text = "events that it has not read yet"; open > 0 {
			text = fmt.Sprintf("open events: %d%s; %s", open, r.nextRetry(ctx, p.Name), list)
		}
	default:
		text = "the handler does not run, and its events wait: " + list
	}
	for _, unit := range g.Layout.Units(p.Name) {
		if r.Units.Owner == nil {
			break
		}
		owner, _ := r.Units.Owner(unit)
		if wants, found := owner.Layouts[p.Name]; found && wants != g.Next.String() {
			return text + fmt.Sprintf("; the files of %s want %s: the shards change to %s first, and then once more", owner.Name, wants, g.Next)
		}
	}
	return text
}

// nextRetry says when the next retry of a plugin is due, "" if none is known.
func (r *Runner) nextRetry(ctx context.Context, plugin string) string {
	var due time.Time
	for _, unit := range r.Units.Known(plugin) {
		list, err := r.Dispatcher.Retrying(ctx, unit, 0, math.MaxInt)
		if err != nil {
			return ""
		}
		for _, d := range list {
			if due.IsZero() || d.Due.Before(due) {
				due = d.Due
			}
		}
	}
	if due.IsZero() {
		return ""
	}
	return ", the next retry is due at " + due.UTC().Format(time.RFC3339)
}
