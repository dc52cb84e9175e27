package run

import (
	"slices"
	"sync"
)

// live are the versions that run, also those that drain, by plugin. It is safe for
// concurrent use.
type live struct {
	mu       sync.Mutex
	versions map[string][]*running
}

func (l *live) add(name string, v *running) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.versions[name] = append(l.versions[name], v)
}

func (l *live) remove(name string, v *running) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.versions[name] = slices.DeleteFunc(l.versions[name], func(other *running) bool { return other == v })
	if len(l.versions[name]) == 0 {
		delete(l.versions, name)
	}
}

// newest returns the version of a plugin that was started last, nil for none.
func (l *live) newest(name string) *running {
	l.mu.Lock()
	defer l.mu.Unlock()
	if list := l.versions[name]; len(list) > 0 {
		return list[len(list)-1]
	}
	return nil
}

// all returns the newest version of each plugin.
func (l *live) all() (list []*running) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, versions := range l.versions {
		list = append(list, versions[len(versions)-1])
	}
	return list
}

// memory returns the bytes that the instances of a plugin have.
func (l *live) memory(name string) (n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, v := range l.versions[name] {
		n += v.pool.Memory()
	}
	return n
}
