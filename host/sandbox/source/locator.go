package source

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/berth-host/berth/host/event/stack"
)

// Resolver answers a query about a module, in a process of its own.
type Resolver func(ctx context.Context, q Query) (Answer, error)

// Limits bounds the work of all Locators of an engine: they share it.
type Limits struct {
	wait time.Duration
	rate *rate.Limiter
	slot chan struct{} // a token: a child may run
}

const (
	// DefaultWait is how long a failure waits for its source lines.
	DefaultWait = 3 * time.Second

	perEngine, burstPerEngine = 2 * time.Second, 16 // between two children, and how many at once
	perModule, burstPerModule = 10 * time.Second, 6
	maxKnown                  = 512 // offsets, and names, remembered for a module
)

// NewLimits returns limits. A failure waits no longer than wait; 0: DefaultWait.
func NewLimits(wait time.Duration) *Limits {
	if wait <= 0 {
		wait = DefaultWait
	}
	return &Limits{wait: wait, rate: rate.NewLimiter(rate.Every(perEngine), burstPerEngine), slot: make(chan struct{}, 1)}
}

// Locator finds the frames of one module's failures.
type Locator struct {
	resolve Resolver
	limits  *Limits
	rate    *rate.Limiter

	mu    sync.Mutex
	known map[uint64][]Frame // also those of which nothing is known: not nil
	names map[string]string
}

// NewLocator returns the Locator of a module.
func NewLocator(resolve Resolver, limits *Limits) *Locator {
	return &Locator{resolve: resolve, limits: limits, rate: rate.NewLimiter(rate.Every(perModule), burstPerModule),
		known: make(map[uint64][]Frame), names: make(map[string]string)}
}

// Locate fills in the frames of a stack. It calls waiting before it waits. If the frames
// cannot be found in time, or were looked for too often of late, the stack stays as it is.
func (l *Locator) Locate(ctx context.Context, s *Stack, waiting func()) {
	if l == nil || l.fill(s) {
		return
	}
	waiting()
	ctx, cancel := context.WithTimeout(ctx, l.limits.wait)
	defer cancel()
	select {
	case l.limits.slot <- struct{}{}:
		defer func() { <-l.limits.slot }()
	case <-ctx.Done():
		return
	}
	if l.fill(s) { // another failure has asked for the same meanwhile
		return
	}
	if !l.rate.Allow() || !l.limits.rate.Allow() {
		return
	}
	q := s.Unknown()
	q.Offsets = q.Offsets[:min(len(q.Offsets), MaxOffsets)]
	answer, err := l.resolve(ctx, q)
	if err != nil || len(answer.Frames) != len(q.Offsets) || len(answer.Names) != len(q.Names) {
		return
	}
	l.remember(q, answer)
	l.fill(s)
}

// fill fills in what is known, and reports whether that is all.
func (l *Locator) fill(s *Stack) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.Fill(l.known, l.names)
	left := s.Unknown()
	return len(left.Offsets)+len(left.Names) == 0
}

func (l *Locator) remember(q Query, a Answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.known)+len(q.Offsets) > maxKnown {
		clear(l.known)
	}
	if len(l.names)+len(q.Names) > maxKnown {
		clear(l.names)
	}
	for i, offset := range q.Offsets {
		frames := make([]Frame, 0, min(len(a.Frames[i]), maxInlined+1))
		for _, f := range a.Frames[i][:cap(frames)] {
			frames = append(frames, f.Clean())
		}
		l.known[offset] = frames
	}
	for i, name := range q.Names {
		l.names[name] = stack.Printable(a.Names[i], maxFunction+len("…"))
	}
}
