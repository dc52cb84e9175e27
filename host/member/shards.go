package member

import (
	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/shards"
)

// Wanted returns the function that returns the layouts that live members want, by plugin. A member
// without a plugin wants none of it.
func Wanted(view func() cluster.View) func() map[string][]shards.Layout {
	return func() map[string][]shards.Layout {
		wanted := make(map[string][]shards.Layout)
		for _, m := range view().Members {
			if !m.Alive {
				continue
			}
			for plugin, text := range m.Layouts {
				if l, ok := shards.Parse(text); ok {
					wanted[plugin] = append(wanted[plugin], l)
				}
			}
		}
		return wanted
	}
}
