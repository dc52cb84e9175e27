// Package sharedtest keeps, in memory, what hosts of a cluster share, for tests of the parts
// that share it.
package sharedtest

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// Store keeps shared documents and modules. It is safe for concurrent use. Make it with New.
type Store struct {
	mu      sync.Mutex
	docs    map[[2]string]spec.SharedDocument // by kind and id
	last    map[[2]string]uint64              // the highest revision, also of removed ones
	modules map[string][]byte
	failure error
	before  func(call string)
}

// New returns an empty Store.
func New() *Store {
	return &Store{docs: make(map[[2]string]spec.SharedDocument), last: make(map[[2]string]uint64), modules: make(map[string][]byte)}
}

// Fail makes every call fail; nil ends that.
func (s *Store) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = err
}

// Before has f called before each call that writes, with its name.
func (s *Store) Before(f func(call string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = f
}

// enter locks the store, unless it fails.
func (s *Store) enter(call string) (leave func(), err error) {
	s.mu.Lock()
	before := s.before
	s.mu.Unlock()
	if before != nil && call != "" {
		before(call)
	}
	s.mu.Lock()
	if s.failure != nil {
		defer s.mu.Unlock()
		return nil, s.failure
	}
	return s.mu.Unlock, nil
}

// Shared returns the documents of a kind, ascending by id.
func (s *Store) Shared(_ context.Context, kind string) (list []spec.SharedDocument, err error) {
	leave, err := s.enter("")
	if err != nil {
		return nil, err
	}
	defer leave()
	for _, d := range s.docs {
		if d.Kind == kind {
			d.Body = slices.Clone(d.Body)
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(a, b spec.SharedDocument) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}

// Share stores or removes a document whose revision is still d.Revision.
func (s *Store) Share(_ context.Context, d spec.SharedDocument) (uint64, error) {
	leave, err := s.enter("Share")
	if err != nil {
		return 0, err
	}
	defer leave()
	key := [2]string{d.Kind, d.ID}
	if now := s.docs[key].Revision; now != d.Revision {
		return 0, fault.New(fault.Conflict, "%s %s has revision %d, not %d", d.Kind, d.ID, now, d.Revision)
	}
	s.last[key]++
	if d.Body == nil {
		delete(s.docs, key)
		return 0, nil
	}
	d.Body, d.Revision = slices.Clone(d.Body), s.last[key]
	s.docs[key] = d
	return d.Revision, nil
}

// PutModule stores a module.
func (s *Store) PutModule(_ context.Context, sha256 string, content []byte) error {
	leave, err := s.enter("PutModule")
	if err != nil {
		return err
	}
	defer leave()
	s.modules[sha256] = slices.Clone(content)
	return nil
}

// Module returns a module.
func (s *Store) Module(_ context.Context, sha256 string) (content []byte, found bool, err error) {
	leave, err := s.enter("")
	if err != nil {
		return nil, false, err
	}
	defer leave()
	content, found = s.modules[sha256]
	return slices.Clone(content), found, nil
}

// RemoveModules removes all modules but these.
func (s *Store) RemoveModules(_ context.Context, keep []string) error {
	leave, err := s.enter("RemoveModules")
	if err != nil {
		return err
	}
	defer leave()
	for sum := range s.modules {
		if !slices.Contains(keep, sum) {
			delete(s.modules, sum)
		}
	}
	return nil
}
