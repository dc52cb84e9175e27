package measure

import (
	"slices"
	"sync"

	"github.com/berth-host/berth/host/spec"
)

// Source has the counts of one version of a handler.
type Source interface {
	// AddTo adds the present counts, and returns how many events an instance may take now.
	AddTo(v *Versions) (ready int)
}

// Registry has the sources of handlers by their plugins, and the counts of those that ended. The
// zero value is empty. It is safe for concurrent use, and holds its lock while it calls a source.
type Registry struct {
	mu    sync.Mutex
	live  map[string][]source
	ended map[string]Versions
}

// source is a Source of a handler.
type source struct {
	handler string
	Source
}

// Begin adds a source of a handler.
func (r *Registry) Begin(handler string, s Source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live == nil {
		r.live, r.ended = make(map[string][]source), make(map[string]Versions)
	}
	plugin := spec.PluginOf(handler)
	r.live[plugin] = append(r.live[plugin], source{handler, s})
}

// End keeps the counts of a source that has ended.
func (r *Registry) End(handler string, s Source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	plugin := spec.PluginOf(handler)
	r.live[plugin] = slices.DeleteFunc(r.live[plugin], func(one source) bool { return one.Source == s })
	ended := r.ended[plugin]
	s.AddTo(&ended)
	r.ended[plugin] = ended
}

// Of returns a copy of the counts of a plugin's handler and its shards, and how many events
// instances may take now.
func (r *Registry) Of(plugin string) (v Versions, ready int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v = r.ended[plugin].Clone()
	each := make(map[string]int) // the sources of a handler have the same events
	for _, s := range r.live[plugin] {
		n := s.AddTo(&v)
		ready += n - each[s.handler]
		each[s.handler] = n
	}
	return v, ready
}
