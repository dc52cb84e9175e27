package member

import (
	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/shards"
)

// Wishes returns the function that returns which layouts live members want.
func Wishes(view func() cluster.View) func() shards.Wishes {
	return func() shards.Wishes {
		w := shards.Wishes{Layouts: make(map[string][]shards.Layout), Hosts: make(map[string]string)}
		for _, m := range view().Members {
			w.Hosts[m.ID] = m.Name
			if !m.Alive {
				continue
			}
			for plugin, text := range m.Layouts {
				l, ok := shards.Parse(text)
				if !ok { // a newer version wrote it
					l = shards.Layout{}
				}
				w.Layouts[plugin] = append(w.Layouts[plugin], l)
			}
			for plugin := range m.Modules {
				if m.Layouts[plugin] == "" { // its version knows no shards
					w.Layouts[plugin] = append(w.Layouts[plugin], shards.Layout{})
				}
			}
			for _, plugin := range m.Inactive {
				if _, found := w.Layouts[plugin]; !found {
					w.Layouts[plugin] = nil
				}
			}
		}
		return w
	}
}
