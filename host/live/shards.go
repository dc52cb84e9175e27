package live

import (
	"context"

	"github.com/berth-host/berth/host/shards"
	"github.com/berth-host/berth/host/spec"
)

// Shards returns the layouts of handlers that the hosts of the cluster have in force; nil: the host
// is of none.
func (l *Live) Shards() *shards.Generations { return l.shared.shards }

// shard sets the shards in force, and the order that decides the shard of an event: the file only
// says what the host wants. A host of no cluster has one shard, whatever the next start applies.
func (d *decisions) shard(name string, s *spec.Settings) {
	layout := shards.New(1, "")
	if d.shards != nil {
		layout = d.shards.Of(name).Layout
	}
	if s.Shards = layout.Shards; s.Shards > 1 {
		s.OrderBy = layout.OrderBy
	}
}

// FollowShards puts in force how the shards of handlers have changed: plugins whose layout is
// another one are started with it. It is safe for concurrent use.
func (l *Live) FollowShards(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	changed, unreadable := l.shared.shards.Follow(ctx)
	if !changed {
		return unreadable
	}
	if err := (*l.plugins.Load()).Reload(ctx, l.Config().PluginDirectories); err != nil {
		return err
	}
	return unreadable
}

// Layouts returns the layouts that the configuration wants of the plugins that are here, by name.
func (l *Live) Layouts() map[string]string {
	wanted := make(map[string]string)
	plugins := *l.plugins.Load()
	for _, p := range plugins.List() {
		if m, known := plugins.Manifest(p.Name); known {
			s, _ := l.Config().Resolve(p.Name, m)
			wanted[p.Name] = shards.New(s.Shards, s.OrderBy).String()
		}
	}
	return wanted
}
