package measure

import (
	"slices"
	"sync"
)

// Source has the counts of one version of a handler.
type Source interface {
	// AddTo adds the present counts, and returns how many events an instance may take now.
	AddTo(v *Versions) (ready int)
}

// Registry has the sources of handlers by name, and the counts of those that ended. The zero
// value is empty. It is safe for concurrent use, and holds its lock while it calls a source.
type Registry struct {
	mu    sync.Mutex
	live  map[string][]Source
	ended map[string]Versions
}

// Begin adds a source.
func (r *Registry) Begin(handler string, s Source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live == nil {
		r.live, r.ended = make(map[string][]Source), make(map[string]Versions)
	}
	r.live[handler] = append(r.live[handler], s)
}

// End keeps the counts of a source that has ended.
func (r *Registry) End(handler string, s Source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live[handler] = slices.DeleteFunc(r.live[handler], func(one Source) bool { return one == s })
	ended := r.ended[handler]
	s.AddTo(&ended)
	r.ended[handler] = ended
}

// Of returns a copy of the counts of a handler, and how many events an instance may take now.
func (r *Registry) Of(handler string) (v Versions, ready int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v = r.ended[handler].Clone()
	for _, s := range r.live[handler] {
		ready = s.AddTo(&v)
	}
	return v, ready
}
