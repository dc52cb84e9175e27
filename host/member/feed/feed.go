// Package feed shows the activities of all hosts of a cluster on the event stream of each.
//
// A host whose stream a client follows says so as a member. The others then send it their
// deliveries: in batches, ten times a second, as messages that are not stored. What does not fit is
// dropped and counted: the stream of a host never slows a delivery.
package feed

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/api/stream"
	"github.com/berth-host/berth/host/wire"
)

// Messages are those between hosts; see conn.DB.
type Messages interface {
	Broadcast(ctx context.Context, messages []string) error
	Receive(ctx context.Context, take func(message string)) error
}

const (
	sendEvery   = 100 * time.Millisecond
	lookEvery   = 500 * time.Millisecond // for a client of this host, and of others
	sendTimeout = 2 * time.Second
	maxWaiting  = 2000 // activities until they are sent
	reportEvery = time.Minute
)

// Config configures a Feed. All fields are required.
type Config struct {
	Local    *stream.Feed
	Messages Messages // nil: the host runs alone, and the rest is not used
	Limit    int      // of a message, in bytes
	// Watched reports whether a client follows the event stream of another live host.
	Watched func() bool
	Logger  *slog.Logger
}

// Feed is the activities of all hosts. It is safe for concurrent use.
type Feed struct {
	cfg     Config
	others  atomic.Bool // watch
	mu      sync.Mutex
	waiting []wire.Activity
	dropped int
}

// New returns a Feed; see Run.
func New(cfg Config) *Feed { return &Feed{cfg: cfg} }

// Watched reports whether a client follows the stream of a host. It is quick.
func (f *Feed) Watched() bool { return f.cfg.Local.Watched() || f.others.Load() }

// Publish sends an activity to the clients of all hosts. It does not block.
func (f *Feed) Publish(a wire.Activity) {
	f.cfg.Local.Publish(a)
	if !f.others.Load() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.waiting) >= maxWaiting {
		f.dropped++
		return
	}
	f.waiting = append(f.waiting, a)
}

// Run sends and receives until ctx ends; on a host that runs alone it returns at once.
func (f *Feed) Run(ctx context.Context) {
	if f.cfg.Messages == nil {
		return
	}
	var running sync.WaitGroup
	running.Go(func() { f.receive(ctx) })
	defer running.Wait()
	send, look, report := time.NewTicker(sendEvery), time.NewTicker(lookEvery), time.NewTicker(reportEvery)
	defer send.Stop()
	defer look.Stop()
	defer report.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			f.others.Store(f.cfg.Watched())
		case <-send.C:
			f.send(ctx)
		case <-report.C:
			f.mu.Lock()
			n := f.dropped
			f.dropped = 0
			f.mu.Unlock()
			if n > 0 {
				f.cfg.Logger.Warn("deliveries of this host are missing on the event streams of other hosts", "dropped", n)
			}
		}
	}
}

// send sends what waits.
func (f *Feed) send(ctx context.Context) {
	f.mu.Lock()
	list := f.waiting
	f.waiting = nil
	f.mu.Unlock()
	if len(list) == 0 {
		return
	}
	messages, dropped := pack(list, f.cfg.Limit)
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	if err := f.cfg.Messages.Broadcast(ctx, messages); err != nil {
		dropped = len(list)
	}
	f.mu.Lock()
	f.dropped += dropped
	f.mu.Unlock()
}

// pack makes messages of activities, each a list in JSON of at most limit bytes. An activity that
// is larger is sent without its history, result and lines, or is dropped.
func pack(list []wire.Activity, limit int) (messages []string, dropped int) {
	text := []byte{'['}
	flush := func() {
		if len(text) > 1 {
			messages = append(messages, string(append(text, ']')))
		}
		text = []byte{'['}
	}
	for _, a := range list {
		one, err := json.Marshal(a)
		if err == nil && len(one) > limit-2 {
			one, err = json.Marshal(small(a))
		}
		if err != nil || len(one) > limit-2 {
			dropped++
			continue
		}
		if len(text)+len(one)+2 > limit {
			flush()
		}
		if len(text) > 1 {
			text = append(text, ',')
		}
		text = append(text, one...)
	}
	flush()
	return messages, dropped
}

// receive shows the activities of other hosts while a client follows the stream of this one.
func (f *Feed) receive(ctx context.Context) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		if !f.cfg.Local.Watched() {
			continue
		}
		receiving, end := context.WithCancel(ctx)
		var watching sync.WaitGroup
		watching.Go(func() { f.endUnwatched(receiving, end) })
		err := f.cfg.Messages.Receive(receiving, f.take)
		unwatched := receiving.Err() != nil
		end()
		watching.Wait()
		if !unwatched {
			f.cfg.Logger.Debug("the deliveries of other hosts are missing on the event stream until the next attempt", "error", err)
		}
	}
}

// endUnwatched calls end when no client follows the stream of this host any more.
func (f *Feed) endUnwatched(ctx context.Context, end func()) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for f.cfg.Local.Watched() {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
	end()
}

// take shows the activities of a message.
func (f *Feed) take(message string) {
	var list []wire.Activity
	if err := json.Unmarshal([]byte(message), &list); err != nil {
		return // of another version
	}
	for _, a := range list {
		f.cfg.Local.Publish(a)
	}
}

// small returns an activity without what may be large.
func small(a wire.Activity) wire.Activity {
	if a.Delivery == nil {
		return a
	}
	d := *a.Delivery
	d.Result, d.History = nil, nil
	if d.Error != nil {
		e := *d.Error
		e.Message = e.Message[:min(len(e.Message), maxError)]
		d.Error = &e
	}
	a.Delivery = &d
	return a
}

const maxError = 1000 // bytes of the error of a large delivery
