package bus

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/berth-host/berth/host/event"
)

const (
	// pageSize is how many Seqs a page covers. Pages begin at 1, 257, 513, …
	pageSize = 256
	// maxPages and maxPageBytes (of envelopes) bound the pages that are kept.
	maxPages     = 64
	maxPageBytes = 32 << 20
)

// pages are what subscriptions behind the window have read from the log: handlers that
// catch up read the same events at about the same time, and to read an event from a file
// costs more than to deliver it. They are kept while a subscription is behind. Safe for
// concurrent use.
type pages struct {
	mu     sync.Mutex
	kept   []*page // the least recently used first
	bytes  int     // of their envelopes
	behind int     // subscriptions
}

// page has the events from one Seq on that the log had when it was read: all of them up
// to the last one it has.
type page struct {
	from    uint64
	done    chan struct{}  // closed when it was read, or could not be
	records []event.Record // set before done is closed; nil after an error
	bytes   int
}

// read returns events of the log from Seq next on, at least one unless there are none.
func (p *pages) read(ctx context.Context, log Log, next uint64) ([]event.Record, error) {
	from := next - (next-1)%pageSize
	for mine := false; !mine; {
		var pg *page
		if pg, mine = p.take(from); mine {
			records, err := log.Read(ctx, from, pageSize)
			if err != nil {
				records = nil
			}
			p.fill(pg, records)
		} else {
			select {
			case <-pg.done:
			case <-ctx.Done():
				return nil, fmt.Errorf("receive events: %w", ctx.Err())
			}
		}
		if i, _ := slices.BinarySearchFunc(pg.records, next, seqOf); i < len(pg.records) {
			return pg.records[i:], nil
		}
		p.drop(pg) // it was read when the log ended before next, or not at all
	}
	return log.Read(ctx, next, pageSize) // the log may be damaged between from and next
}

func seqOf(rec event.Record, seq uint64) int {
	switch {
	case rec.Seq < seq:
		return -1
	case rec.Seq > seq:
		return 1
	}
	return 0
}

// take returns the page that begins at from. If mine is true there was none, and the
// caller calls fill.
func (p *pages) take(from uint64) (pg *page, mine bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, pg := range p.kept {
		if pg.from == from {
			p.kept = append(slices.Delete(p.kept, i, i+1), pg)
			return pg, false
		}
	}
	pg = &page{from: from, done: make(chan struct{})}
	p.kept = append(p.kept, pg)
	return pg, true
}

// fill completes a page, and evicts others.
func (p *pages) fill(pg *page, records []event.Record) {
	bytes := 0
	for _, rec := range records {
		bytes += len(rec.Event.Envelope())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	pg.records = records
	close(pg.done)
	if slices.Contains(p.kept, pg) { // it was not evicted meanwhile
		pg.bytes = bytes
		p.bytes += bytes
	}
	for len(p.kept) > 0 && (len(p.kept) > maxPages || p.bytes > maxPageBytes) {
		p.evict(0)
	}
}

// evict removes a page. The caller holds mu.
func (p *pages) evict(i int) {
	p.bytes -= p.kept[i].bytes
	p.kept = slices.Delete(p.kept, i, i+1)
}

func (p *pages) drop(pg *page) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.kept, pg); i >= 0 {
		p.evict(i)
	}
}

// trim removes the pages that may have events below before.
func (p *pages) trim(before uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.kept) - 1; i >= 0; i-- {
		if p.kept[i].from < before {
			p.evict(i)
		}
	}
}

// join counts a subscription that is behind the window.
func (p *pages) join() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.behind++
}

// leave undoes join. The last one removes all pages.
func (p *pages) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.behind--; p.behind == 0 {
		p.kept, p.bytes = nil, 0
	}
}
