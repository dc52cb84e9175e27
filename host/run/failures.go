package run

import (
	"sync"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// maxVersions bounds the versions of a handler of which a host knows what its failures need:
// a failure comes from the running version, or from one that it has just replaced.
const maxVersions = 8

// started is a version that was prepared since the host started.
type started struct {
	sha256, version string
	key             func(*event.Event) string // nil: no order
}

// startedVersions are the latest versions of each handler. It is safe for concurrent use.
type startedVersions struct {
	mu        sync.RWMutex
	byHandler map[string][]started // newest first
}

func (v *startedVersions) add(handler string, s started) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.byHandler == nil {
		v.byHandler = make(map[string][]started)
	}
	list := []started{s}
	for _, old := range v.byHandler[handler] {
		if old.sha256 != s.sha256 && len(list) < maxVersions {
			list = append(list, old)
		}
	}
	v.byHandler[handler] = list
}

// find returns the version with a digest; the zero one if it is not known.
func (v *startedVersions) find(handler, sha256 string) started {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, s := range v.byHandler[handler] {
		if s.sha256 == sha256 {
			return s
		}
	}
	return started{}
}

// FailureOf returns what is to be known about a failed attempt besides its delivery: the
// event's order key or, without one, its subject, and the version of the module.
func (r *Runner) FailureOf(rec event.Record, d event.Delivery) (key, version string) {
	s := r.started.find(spec.PluginOf(d.Handler), d.SHA256)
	if s.key != nil {
		key = s.key(rec.Event)
	}
	if key == "" {
		key = rec.Event.Subject()
	}
	return key, s.version
}
