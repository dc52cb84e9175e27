package issues

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/berth-host/berth/host/spec"
)

// Own makes this host the one that counts and stores the issues of a handler, from what the
// store has now. The writes carry the fence. Config.Shared is required.
func (t *Tracker) Own(ctx context.Context, f spec.Fence) error {
	if err := t.Refresh(ctx); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.owned[f.Unit] = f
	return nil
}

// Release stores what is not stored yet of a handler's issues, and ends Own. After an error
// the latest counts are lost.
func (t *Tracker) Release(ctx context.Context, handler string) (err error) {
	for more := true; more && err == nil; {
		more, err = t.flush(ctx)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.owned, handler)
	return err
}

// Refresh reads the issues of the handlers that other hosts own.
func (t *Tracker) Refresh(ctx context.Context) error {
	if !t.cfg.Shared {
		return nil
	}
	list, err := t.cfg.Store.Documents(ctx, kind)
	if err != nil {
		return fmt.Errorf("read the issues: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, g := range t.byID {
		if _, owned := t.owned[g.Handler]; owned {
			continue
		}
		delete(t.groups, g.fingerprint)
		delete(t.byID, id)
		if g.isActive() {
			t.countActive(g.Handler, -1)
		}
	}
	for _, d := range list {
		if d.ID == lastID {
			continue
		}
		g, err := restore(d.Body)
		if err != nil {
			continue // load has logged it
		}
		if _, owned := t.owned[g.Handler]; !owned && t.groups[g.fingerprint] == nil && t.byID[g.id] == nil {
			t.insert(g)
		}
	}
	return nil
}

// owns reports whether this host counts the issues of a handler. It requires t.mu.
func (t *Tracker) owns(handler string) bool {
	if !t.cfg.Shared {
		return true
	}
	_, owned := t.owned[handler]
	return owned
}

// fenced returns the context of a write of a handler's issues.
func (t *Tracker) fenced(ctx context.Context, handler string) context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f, owned := t.owned[handler]; owned {
		return spec.WithFence(ctx, f)
	}
	return ctx
}

// nextID returns the id of a new issue: the next number, or, where hosts share the store, one
// made of what the issue is about, so that no two hosts give one id to different issues. It
// requires t.mu.
func (t *Tracker) nextID(fp fingerprint) uint64 {
	if !t.cfg.Shared {
		t.last++
		return t.last
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", fp.handler, fp.class, fp.message, fp.frame))
	id := binary.BigEndian.Uint64(sum[:])>>12 | 1 // numbers that JavaScript reads exactly
	for t.byID[id] != nil {
		id++
	}
	return id
}
