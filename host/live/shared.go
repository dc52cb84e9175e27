package live

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/config/overlay"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/shards"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Shared keeps the documents that hosts of a cluster share.
type Shared interface {
	// Shared returns the documents of a kind, ascending by id.
	Shared(ctx context.Context, kind string) ([]spec.SharedDocument, error)
	// Share stores a document if the stored revision is d.Revision, 0 for none; a nil Body
	// removes it. fault.Conflict otherwise.
	Share(ctx context.Context, d spec.SharedDocument) (revision uint64, err error)
}

// maxRaces bounds the attempts at a decision that lose against those of other hosts.
const maxRaces = 16

// decisions are those about handlers that the hosts of a cluster share. Live.mu guards
// overlay; the other fields are set once, by Join.
type decisions struct {
	store   Shared
	refused bool // the files decide: the API must not
	overlay *overlay.Overlay
	shards  *shards.Generations // of handlers; nil: the host is of no cluster
}

// Join makes the host one of a cluster, before its plugins start: what the API decides about
// handlers is stored in the database, holds for all hosts, and counts more than the file. It
// puts in force what was decided before. With cluster.settings: file it is refused instead.
func (l *Live) Join(ctx context.Context, store Shared) error {
	l.mu.Lock()
	l.shared.store, l.shared.refused = store, l.started.Cluster.Settings == config.SettingsFile
	l.shared.shards = shards.NewGenerations(store)
	l.mu.Unlock()
	if err := l.FollowShards(ctx); err != nil {
		return err
	}
	return l.Follow(ctx)
}

// Joined reports whether the host is one of a cluster.
func (l *Live) Joined() bool { return l.shared.store != nil }

// Fingerprint identifies the settings in the file of this host that all hosts of its cluster
// should share.
func (l *Live) Fingerprint() string { return l.now.Load().file.Fingerprint() }

// refusal is the error of a decision that the files must make, fault.Conflict.
func (d *decisions) refusal(name, key, path string) error {
	if !d.refused {
		return nil
	}
	return fault.New(fault.Conflict, "cluster.settings is file, so the API does not decide about handlers: change handlers.%s.%s in %s, "+
		"likewise on every host", name, key, path)
}

// read returns the decisions in the database. What it cannot read of them is an error beside
// the others.
func (d *decisions) read(ctx context.Context) (now *overlay.Overlay, unreadable, err error) {
	list, err := d.store.Shared(ctx, overlay.Kind)
	if err != nil {
		return nil, nil, fmt.Errorf("read the decisions about handlers: %w", err)
	}
	now, unreadable = overlay.New(list)
	if now.Same(d.overlay) {
		now = d.overlay
	}
	return now, unreadable, nil
}

// Follow puts in force what other hosts have decided since. It is safe for concurrent use.
func (l *Live) Follow(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shared.refused {
		return nil
	}
	decided, unreadable, err := l.shared.read(ctx)
	if err != nil {
		return err
	}
	n, err := l.compileUnder(decided, l.now.Load().file)
	if err != nil {
		return fmt.Errorf("the decisions of other hosts: %w", err)
	}
	if n.config == l.Config() && (n.config == l.applied || l.applied == nil) {
		l.shared.overlay = decided
		l.activate(n)
		return unreadable
	}
	former := l.shared.overlay
	l.shared.overlay = decided // what is checked and applied from here on has them
	result, err := l.apply(ctx, &loaded{n, nil})
	if err != nil {
		l.shared.overlay = former
		return fmt.Errorf("the decisions of other hosts: %w", err)
	}
	if len(result.Changed) > 0 {
		l.cfg.Logger.Info("decisions of the cluster about handlers applied", "changed", result.Changed)
		l.audit(byCluster, result, nil)
	}
	return unreadable
}

// decide changes what is decided about one setting of a handler, and puts it in force here.
// The other hosts follow.
func (l *Live) decide(ctx context.Context, name, key string, change func(*overlay.Section)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.adopt(); err != nil {
		return err
	}
	n, err := l.store(ctx, name, key, change, func(inForce) error { return nil })
	if err != nil {
		return err
	}
	former := l.activate(n)
	l.changed(former.config)
	return nil
}

// decideConfig is decide for the config of a handler, after the plugin's schema has taken it;
// the plugin then runs with it. It requires l.mu.
func (l *Live) decideConfig(ctx context.Context, name string, object json.RawMessage) error {
	n, err := l.store(ctx, name, "config", func(s *overlay.Section) { s.Config = object },
		func(n inForce) error { return l.check(ctx, &loaded{n, nil}) })
	if err != nil || n.config == l.Config() {
		return err
	}
	_, err = l.enforce(ctx, n)
	return err
}

// undecide removes the decisions about a handler.
func (l *Live) undecide(ctx context.Context, name string) error {
	if l.shared.refused {
		return nil
	}
	return l.decide(ctx, name, "", func(s *overlay.Section) { *s = overlay.Section{} })
}

// store stores a changed section, on top of what other hosts have stored by then, and returns
// the configuration with it. It requires l.mu.
func (l *Live) store(ctx context.Context, name, key string, change func(*overlay.Section), check func(inForce) error) (inForce, error) {
	if err := l.shared.refusal(name, key, l.path); err != nil {
		return inForce{}, err
	}
	for range maxRaces {
		now, _, err := l.shared.read(ctx)
		if err != nil {
			return inForce{}, err
		}
		section := now.Section(name)
		change(&section)
		next, d, err := now.With(name, section)
		if err != nil {
			return inForce{}, err
		}
		n, err := l.compileUnder(next, l.now.Load().file)
		if err == nil {
			err = check(n)
		}
		if err != nil {
			return inForce{}, err
		}
		if d.Body == nil && d.Revision == 0 { // nothing was decided, and nothing is
			return n, nil
		}
		revision, err := l.shared.store.Share(ctx, d)
		if fault.Is(err, fault.Conflict) {
			continue // another host was first
		}
		if err != nil {
			return inForce{}, fmt.Errorf("store the decision about %s: %w", name, err)
		}
		next.Stored(d, revision)
		l.shared.overlay = next
		return n, nil
	}
	return inForce{}, fault.New(fault.Conflict, "other hosts keep deciding about %s: nothing was changed; try again", name)
}

// AdoptDecisions returns the decisions of the cluster as YAML for the files of the hosts, and with
// clear removes them from the database: from then on the files decide. On an error some of
// them may be removed.
func (l *Live) AdoptDecisions(ctx context.Context, clear bool) (wire.Adopted, error) {
	if !l.Joined() {
		return wire.Adopted{}, fault.New(fault.Conflict, "this host is not one of a cluster: what the API decides is in %s already", l.path)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now, unreadable, err := l.shared.read(ctx)
	if err == nil && clear {
		err = unreadable // it would be lost
	}
	if err != nil {
		return wire.Adopted{}, err
	}
	adopted := wire.Adopted{YAML: now.YAML(), Cleared: []string{}}
	if !clear {
		return adopted, nil
	}
	n := *l.now.Load()
	for _, name := range now.Names() {
		next, d, err := now.With(name, overlay.Section{})
		if err == nil {
			_, err = l.shared.store.Share(ctx, d)
		}
		if err == nil {
			n, err = l.compileUnder(next, l.now.Load().file)
		}
		if err != nil {
			return wire.Adopted{}, fmt.Errorf("clear the decisions about %s, after %d others: %w", name, len(adopted.Cleared), err)
		}
		now, l.shared.overlay = next, next
		adopted.Cleared = append(adopted.Cleared, name)
	}
	if n.config == l.Config() {
		return adopted, nil
	}
	_, err = l.enforce(ctx, n)
	return adopted, err
}
