package bus

import (
	"context"
	"fmt"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// MemoryConfig sets up a Memory. The zero value of every field is its default.
type MemoryConfig struct {
	Window *Window // nil makes one with the defaults; see Memory.Window

	// MaxBytes bounds the log, in bytes as event.Event.Size counts them: an Append
	// that would exceed it is fault.Exhausted with a RetryAfter until events are
	// trimmed. Children are exempt, since handlers must be able to finish events
	// for any to be trimmed. 0 is no bound. SetMaxBytes changes it.
	MaxBytes int64
	// KVBytes bounds the key-value state of one plugin: keys, values and 128
	// bytes for each entry together (default 64 MiB).
	KVBytes int64
	Now     func() time.Time // the clock for the time of an append; nil is time.Now
}

// Memory is the engine that keeps everything in this process's memory, and loses
// it with the process: for tests, and for use where that does not matter. It
// behaves as store.Store does in everything else. All methods are safe for
// concurrent use.
type Memory struct {
	window   *Window
	maxBytes atomic.Int64
	kvBytes  int64
	now      func() time.Time
	closing  chan struct{}

	mu sync.RWMutex
	// records and times are only appended to or replaced, so that results of Read
	// never change.
	records  []event.Record
	times    []int64 // unix ns of each record's append; never decreases
	bytes    int64
	latest   int64
	keys     map[string]event.Record // by idempotency key
	ids      map[string]event.Record // by event id, of events whose key is another
	cursors  map[string]uint64
	outcomes map[string]*outcomes         // by handler
	attempts map[string]*attempts         // by handler
	replays  map[string]*event.Replay     // by handler; the last one of each
	trimmed  uint64                       // records up to here that remain are kept by a delivery
	kv       map[string]*memoryKV         // by plugin
	docs     map[string]map[string]string // bodies of documents, by kind and id
	schedule memorySchedule
	closed   bool
}

// NewMemory returns an empty Memory.
func NewMemory(cfg MemoryConfig) *Memory {
	if cfg.Window == nil {
		cfg.Window = NewWindow(WindowConfig{})
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.KVBytes <= 0 {
		cfg.KVBytes = 64 << 20
	}
	m := &Memory{
		window:   cfg.Window,
		kvBytes:  cfg.KVBytes,
		now:      cfg.Now,
		closing:  make(chan struct{}),
		keys:     make(map[string]event.Record),
		ids:      make(map[string]event.Record),
		cursors:  make(map[string]uint64),
		outcomes: make(map[string]*outcomes),
		attempts: make(map[string]*attempts),
		docs:     make(map[string]map[string]string),
		replays:  make(map[string]*event.Replay),
		kv:       make(map[string]*memoryKV),
		schedule: newMemorySchedule(),
	}
	m.maxBytes.Store(cfg.MaxBytes)
	return m
}

// Window returns the window that this log adds its events to, for Config.Window.
func (m *Memory) Window() *Window { return m.window }

// Close ends every Wait. It is safe to call more than once.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.closed = true
		close(m.closing)
	}
	return nil
}

// usable returns why the log cannot be used. The caller holds mu.
func (m *Memory) usable(ctx context.Context, doing string) error {
	if err := ctx.Err(); err != nil {
		return ended(doing, err)
	}
	if m.closed {
		return fault.New(fault.Unavailable, "%s: the log is closed", doing)
	}
	return nil
}

// ended gives a context's error its code.
func ended(doing string, err error) error {
	code := fault.Unavailable
	if err == context.DeadlineExceeded {
		code = fault.Timeout
	}
	return fault.New(code, "%s: %w", doing, err)
}

// Append implements Log.
func (m *Memory) Append(ctx context.Context, events []*event.Event) ([]event.Receipt, error) {
	const doing = "append events"
	if len(events) == 0 {
		return nil, nil
	}
	size := int64(0)
	for _, ev := range events {
		if ev == nil {
			return nil, fault.New(fault.Invalid, "%s: an event is nil", doing)
		}
		size += ev.Size()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx, doing); err != nil {
		return nil, err
	}
	if limit := m.maxBytes.Load(); limit > 0 && m.bytes+size > limit {
		return nil, fmt.Errorf("%s: %w", doing, event.LogFull(m.bytes, limit))
	}
	return m.add(events), nil
}

// SetMaxBytes implements Log.
func (m *Memory) SetMaxBytes(bytes int64) { m.maxBytes.Store(bytes) }

// Status implements Log.
func (m *Memory) Status(ctx context.Context) (event.LogStatus, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx, "read the log's size"); err != nil {
		return event.LogStatus{}, err
	}
	st := event.LogStatus{LastSeq: m.Last(), Events: int64(len(m.records)), Bytes: m.bytes, MaxBytes: m.maxBytes.Load(),
		Scheduled: m.schedule.waiting, ScheduledBytes: m.schedule.bytes}
	if len(m.records) > 0 {
		st.FirstSeq, st.OldestAt = m.records[0].Seq, time.Unix(0, m.times[0]).UTC()
	}
	return st, nil
}

// add appends the events whose keys are new. The caller holds mu.
func (m *Memory) add(events []*event.Event) []event.Receipt {
	m.latest = max(m.latest, m.now().UnixNano())
	seq, before := m.Last(), len(m.records)
	receipts := make([]event.Receipt, 0, len(events))
	for _, ev := range events {
		key := ev.Metadata().IdempotencyKey
		if first, found := m.keys[key]; found {
			receipts = append(receipts, event.Repeated(first, ev))
			continue
		}
		if r, yes := m.scheduled(ev); yes {
			receipts = append(receipts, r)
			continue
		}
		seq++
		rec := event.Record{Seq: seq, Event: ev.WithoutDeferral()}
		m.records = append(m.records, rec)
		m.times = append(m.times, m.latest)
		m.bytes += ev.Size()
		m.keys[key] = rec
		if ev.ID() != key {
			m.ids[ev.ID()] = rec
		}
		receipts = append(receipts, event.Receipt{Seq: seq, EventID: ev.ID(), IdempotencyKey: key})
	}
	if added := m.records[before:]; len(added) > 0 {
		m.window.Add(added)
	}
	return receipts
}

// Read implements Log.
func (m *Memory) Read(ctx context.Context, from uint64, limit int) ([]event.Record, error) {
	const doing = "read the log"
	if limit < 1 {
		return nil, fault.New(fault.Invalid, "%s: the limit is %d, but must be at least 1", doing, limit)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx, doing); err != nil {
		return nil, err
	}
	i := m.index(from)
	j := i + min(limit, len(m.records)-i)
	return m.records[i:j:j], nil
}

// index returns the index of the first record at or above seq.
func (m *Memory) index(seq uint64) int {
	n := len(m.records)
	if n == 0 || seq <= m.records[0].Seq {
		return 0
	}
	// Only the part that was trimmed has gaps: count from the end.
	if last := m.records[n-1].Seq; seq > last {
		return n
	} else if seq > m.trimmed {
		return n - 1 - int(last-seq)
	}
	return sort.Search(n, func(i int) bool { return m.records[i].Seq >= seq })
}

// find returns the index of the record with this Seq.
func (m *Memory) find(seq uint64) (i int, found bool) {
	i = m.index(seq)
	return i, i < len(m.records) && m.records[i].Seq == seq
}

// Wait implements Log.
func (m *Memory) Wait(ctx context.Context, after uint64) error {
	const doing = "wait for events"
	select {
	case <-m.closing:
		return fault.New(fault.Unavailable, "%s: the log is closed", doing)
	default:
	}
	if err := m.window.Wait(ctx, after, m.closing); err != nil {
		return ended(doing, err)
	}
	if m.Last() <= after {
		return fault.New(fault.Unavailable, "%s: the log is closed", doing)
	}
	return nil
}

// Last implements Log.
func (m *Memory) Last() uint64 { return m.window.Last() }

// Trim implements Log. An event's deliveries are removed with it; it stays as long
// as one of them is a dead letter or is not final.
func (m *Memory) Trim(ctx context.Context, before uint64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx, "trim the log"); err != nil {
		return 0, err
	}
	m.restamp()
	for _, of := range m.kv {
		of.reclaim(m.now().UnixNano())
	}
	n := m.index(before)
	if n == 0 {
		return 0, nil
	}
	m.trimmed = max(m.trimmed, m.records[n-1].Seq)
	m.window.Trim(m.trimmed + 1)
	// New slices, so that the removed events are freed and results of Read never change.
	remaining := len(m.records) - n
	records, times := make([]event.Record, 0, remaining+16), make([]int64, 0, remaining+16)
	for i, rec := range m.records[:n] {
		if m.kept(rec.Seq) {
			records, times = append(records, rec), append(times, m.times[i])
			continue
		}
		m.bytes -= rec.Event.Size()
		delete(m.keys, rec.Event.Metadata().IdempotencyKey)
		delete(m.ids, rec.Event.ID())
	}
	removed := n - len(records)
	m.records, m.times = append(records, m.records[n:]...), append(times, m.times[n:]...)
	gone := func(seq uint64) bool {
		_, found := m.find(seq)
		return !found && seq <= m.trimmed && seq < before
	}
	for _, of := range m.outcomes {
		of.remove(gone)
	}
	for _, of := range m.attempts {
		of.remove(gone)
	}
	return removed, nil
}

// restamp replaces future timestamps, which the clock gave before it was set back,
// by the present one. The caller holds mu.
func (m *Memory) restamp() {
	now := m.now().UnixNano()
	if m.latest <= now+int64(event.ClockSlack) {
		return
	}
	for i := len(m.times) - 1; i >= 0 && m.times[i] > now; i-- {
		m.times[i] = now
	}
	m.latest = now
}

// kept reports whether a delivery keeps an event in the log. The caller holds mu.
func (m *Memory) kept(seq uint64) bool {
	for _, of := range m.outcomes {
		if d, found := of.others[seq]; found && d.Status != event.StatusOK && !d.purged {
			return true
		}
	}
	return false
}

// Skip implements Log. Every event in memory can be read: fault.Conflict.
func (m *Memory) Skip(ctx context.Context, from, to uint64) (event.Skipped, error) {
	const doing = "skip events"
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx, doing); err != nil {
		return event.Skipped{}, err
	}
	if from < 1 || from > to {
		return event.Skipped{}, fault.Field("to", "is %d, but must be at least seq, %d, and seq at least 1", to, from)
	}
	return event.Skipped{}, fault.New(fault.Conflict, "%s: events in memory can be read; only unreadable events are skipped", doing)
}

// Event implements Log.
func (m *Memory) Event(ctx context.Context, id string) (event.Record, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx, "look up an event"); err != nil {
		return event.Record{}, err
	}
	if rec, found := m.ids[id]; found {
		return rec, nil
	}
	if rec, found := m.keys[id]; found {
		return rec, nil
	}
	return event.Record{}, fault.New(fault.NotFound, "there is no event with the id or idempotency key %q in the log", id)
}

// Events implements Log. fault.Invalid when q.Limit is not 1 to 1000.
func (m *Memory) Events(ctx context.Context, q event.Query) ([]event.Record, error) {
	if q.Limit < 1 || q.Limit > 1000 {
		return nil, fault.Field("limit", "is %d, but must be 1 to 1000", q.Limit)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx, "list events"); err != nil {
		return nil, err
	}
	if q.Key != "" {
		if rec, found := m.keys[q.Key]; found && q.Selects(rec) {
			return []event.Record{rec}, nil
		}
		return nil, nil
	}
	end := len(m.records)
	if q.Before != 0 {
		end = m.index(q.Before)
	}
	var list []event.Record
	for i := end - 1; i >= 0 && len(list) < q.Limit; i-- {
		if q.Selects(m.records[i]) {
			list = append(list, m.records[i])
		}
	}
	return list, nil
}

// SeqAt implements Log.
func (m *Memory) SeqAt(ctx context.Context, t time.Time) (uint64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx, "find a time in the log"); err != nil {
		return 0, err
	}
	i := sort.Search(len(m.times), func(i int) bool { return !time.Unix(0, m.times[i]).Before(t) })
	if i == len(m.times) {
		return m.Last() + 1, nil
	}
	return m.records[i].Seq, nil
}
