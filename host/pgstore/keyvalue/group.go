package keyvalue

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

const (
	// maxGroup and maxGroupBytes bound the writes of one transaction.
	maxGroup      = 128
	maxGroupBytes = 4 << 20
)

// kind is what an op does.
type kind byte

const (
	set    kind = iota
	remove      // deletes the key
	expire      // sets the time limit of a key that is there
)

// op is a direct write of one caller.
type op struct {
	kind  kind
	name  name
	value []byte // of set
	until int64  // of set and expire; 0 for never or, after a comparison, for the present one
	// compare: only if the present value equals old or, when old is nil, if there is none.
	compare bool
	old     []byte

	ctx    context.Context // of the caller
	fence  spec.Fence
	fenced bool

	done    chan struct{} // closed when refused and err are final
	refused error         // why this write alone changes nothing
	err     error         // of its transaction
}

// write queues a write and returns when it is stored or will not be. When ctx ends before, the
// write may be stored later.
func (s *State) write(ctx context.Context, doing string, o *op) error {
	if err := spec.CheckKV(o.name.key, o.value); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if err := ctx.Err(); err != nil {
		return ended(doing, err)
	}
	o.value, o.ctx, o.done = append([]byte{}, o.value...), ctx, make(chan struct{})
	if o.old != nil {
		o.old = append([]byte{}, o.old...)
	}
	o.fence, o.fenced = spec.FenceOf(ctx)
	if err := s.enqueue(o); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	select {
	case <-o.done:
	case <-ctx.Done():
		return ended(doing, ctx.Err())
	}
	if o.err != nil {
		return fmt.Errorf("%s: %w", doing, o.err)
	}
	if o.refused != nil {
		return fmt.Errorf("%s: %w", doing, o.refused)
	}
	return nil
}

// ended returns the error of a caller whose context has ended.
func ended(doing string, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fault.New(fault.Timeout, "%s: %w", doing, err)
	}
	return fault.New(fault.Unavailable, "%s: %w", doing, err)
}

func (s *State) enqueue(o *op) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fault.New(fault.Unavailable, "the store is closed")
	}
	plugin := o.name.plugin
	waiting, storing := s.queues[plugin]
	s.queues[plugin] = append(waiting, o)
	if !storing {
		s.groups.Go(func() { s.store(plugin) })
	}
	return nil
}

// store stores the writes of a plugin, group by group, until none waits.
func (s *State) store(plugin string) {
	for {
		group := s.next(plugin)
		if group == nil {
			return
		}
		err := s.storeGroup(plugin, group)
		for _, o := range group {
			o.err = err
			close(o.done)
		}
	}
}

// next takes the next group; nil when no write waits.
func (s *State) next(plugin string) (group []*op) {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := s.queues[plugin]
	n, size := 0, 0
	for ; n < len(waiting) && len(group) < maxGroup && size < maxGroupBytes; n++ {
		o := waiting[n]
		if o.ctx.Err() != nil {
			continue // its caller has gone
		}
		group, size = append(group, o), size+len(o.value)
	}
	if s.queues[plugin] = waiting[n:]; group == nil {
		delete(s.queues, plugin)
	}
	return group
}

// storeGroup stores a group in one transaction. It compares the fences in the round trip that
// locks and reads the rest; a write under one that is past is refused alone.
func (s *State) storeGroup(plugin string, group []*op) error {
	names := make(map[name]bool, len(group))
	var fences []spec.Fence
	for _, o := range group {
		names[o.name] = names[o.name] || o.compare
		if o.fenced && !slices.Contains(fences, o.fence) {
			fences = append(fences, o.fence)
		}
	}
	err := s.cfg.DB.Write(s.base, "write keys", func(ctx context.Context, tx pgx.Tx) error {
		b, stale, err := load(ctx, tx, fences, []string{plugin}, names, s.limits())
		if err != nil {
			return err
		}
		for _, o := range group {
			if o.fenced && slices.Contains(stale, o.fence) {
				o.refused = s.cfg.DB.Refuse(o.fence)
				continue
			}
			if o.refused, err = b.do(ctx, o); err != nil {
				return err
			}
		}
		return b.Flush(ctx)
	})
	if err != nil {
		for _, o := range group {
			o.refused = nil
		}
	}
	if fault.Is(err, fault.Timeout) { // the callers' contexts have not ended
		return fault.New(fault.Unavailable, "%w", err)
	}
	return err
}

// do adds a direct write to the batch; see op.refused.
func (b *Batch) do(ctx context.Context, o *op) (refused, err error) {
	e := b.entries[o.name]
	present := b.at(e.present)
	if o.compare && (present.found != (o.old != nil) || present.found && !present.equals(sha256.Sum256(o.old))) {
		return conflict(o.name.key), nil
	}
	next := value{found: true, size: int64(len(o.value)), bytes: o.value, until: o.until}
	switch o.kind {
	case set:
		if o.compare && o.until == 0 {
			next.until = present.until
		}
	case remove:
		next = value{}
	case expire:
		if !present.found {
			return fault.New(fault.NotFound, "%s has no key %q", o.name.plugin, o.name.key), nil
		}
		next = present
		next.until = o.until
	}
	next = b.at(next) // a write whose time is over removes the key
	refused, err = b.fits(ctx, o.name.plugin, func() int64 { return o.name.sizeOf(next) - o.name.sizeOf(e.present) })
	if refused == nil && err == nil {
		b.put(o.name, next)
	}
	return refused, err
}
