package store

import (
	"context"
	"database/sql"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/attempts"
	"github.com/berth-host/berth/host/store/backlog"
	"github.com/berth-host/berth/host/store/commits"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/deadletters"
	"github.com/berth-host/berth/host/store/documents"
	"github.com/berth-host/berth/host/store/keys"
	"github.com/berth-host/berth/host/store/kv"
	"github.com/berth-host/berth/host/store/logread"
	"github.com/berth-host/berth/host/store/logwrite"
	"github.com/berth-host/berth/host/store/outcomes"
	"github.com/berth-host/berth/host/store/scheduled"
)

// Config sets up a Store. Path and Window are required; the zero value of every
// other field is its default.
type Config struct {
	Path   string       // the data file; its directory must exist
	Logger *slog.Logger // nil discards

	// Window holds the newest events, so that readers at the log's end need not
	// parse them. Required.
	Window Window

	// MaxBytes bounds the log, in bytes as event.Event.Size counts them: an Append or
	// Write that would exceed it is fault.Exhausted with a RetryAfter until events are
	// trimmed. Children are exempt, since handlers must be able to finish events for
	// any to be trimmed. 0 is no bound. SetMaxBytes changes it.
	MaxBytes int64

	// KVBytes bounds the key-value state of one plugin: keys, values and 128
	// bytes for each entry together (default 64 MiB).
	KVBytes int64
	// KVCache is how many bytes of memory the values use that plugins have read or
	// written last (default 16 MiB).
	KVCache int64

	// Evidence names files beside the data file that exist only after a store was
	// used: when one of them exists, Open refuses a missing or empty data file.
	Evidence []string
	// AcceptDataLoss opens a data file that lacks acknowledged writes, or creates a
	// missing one again, and logs the loss as an error.
	AcceptDataLoss bool

	// Compact rewrites the file at Open, so that it has no free pages and shrinks by
	// itself from then on. It needs as much free disk space again.
	Compact bool

	Now func() time.Time // the clock for the time of an append; nil is time.Now
}

// Window is the memory of the newest events that the store fills; see bus.Window.
type Window interface {
	Add(records []event.Record)
	Trim(before uint64)
	Reset(last uint64)
	Read(from uint64, limit int) (records []event.Record, ok bool)
	Last() uint64
	Wait(ctx context.Context, after uint64, closed <-chan struct{}) error
}

type (
	eventReader    = logread.Reader
	kvState        = kv.State
	scheduledTable = scheduled.Table
)

// Store is the open data file. All methods are safe for concurrent use.
type Store struct {
	path string
	log  *slog.Logger
	now  func() time.Time

	compact bool
	max     atomic.Int64 // Config.MaxBytes
	fail    faults

	file    *datafile.File
	writer  *sql.DB     // one connection, used by the writer goroutine only
	reader  *sql.DB     // read-only connections
	damaged atomic.Bool // the last write failed because a page is damaged
	write   writeStatements
	events  logwrite.Writer
	dead    deadletters.Writer
	replay  replayStatements
	kvFile  kv.Statements
	trim    trimStatements
	read    readStatements

	*eventReader // reads the file
	*kvState     // the state of plugins
	*scheduledTable
	Commits  commits.Counter // of the writer
	packed   *outcomes.Reader
	backlogs *backlog.Reader
	deadList *deadletters.Reader
	past     *attempts.Reader
	window   Window
	keys     *keys.Index
	last     func() uint64 // the highest Seq that is durable
	trimmed  atomic.Uint64 // the events up to here that remain are leftovers; see Trim
	present  atomic.Int64  // the number of events in the log

	ops       chan *op
	gathered  chan struct{}  // buffers one signal that awaited operations are queued
	awaited   atomic.Int64   // operations that the writer waits for; 0 for none
	closing   chan struct{}  // closed by Close
	stopped   chan struct{}  // closed when the writer goroutine has ended
	keepers   sync.WaitGroup // the goroutines that maintain the file
	copying   sync.Mutex     // held by Snapshot, and while the keeper shrinks the file
	closeOnce sync.Once
	closeErr  error

	// Owned by the merger goroutine.
	merge  pace // of the steps that merge keys
	sweep  pace // of the steps that delete keys of trimmed events
	urgent int  // keys in memory from which on merges do not pause

	// Owned by the keeper goroutine.
	vacuum pace // of the steps that free pages
	shrunk bool // since the file was truncated last

	converting conversion

	// Owned by the writer goroutine.
	callers  int            // operations to expect in a group, from the groups before
	took     time.Duration  // to write the group before
	expired  bool           // the newest group has waited in vain for more operations
	batch    []insertion    // buffer for a group's events
	kvBatch  *kv.Batch      // the group's writes of plugins' state
	carried  *op            // taken from ops for the next group
	stale    bool           // the end of the log must be read again before the next group
	appended int64          // unix ns at which the newest event was appended; never decreases
	size     size           // of the log
	id       string         // of the store
	writes   uint64         // that were committed
	topics   logread.Topics // of the newest block
	blocks   outcomes.Writer
	attempts attempts.Writer
	docs     documents.Writer
	later    scheduled.Writer
	indexed  uint64 // the index of keys has the events up to this Seq
}

// Open opens the data file, creates it when it is missing, and upgrades an older one;
// datafile.Open says what it refuses. Call Close when done. ctx bounds Open alone.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	return open(ctx, cfg, faults{})
}

func open(ctx context.Context, cfg Config, fail faults) (*Store, error) {
	const doing = "open the data file"
	if cfg.Path == "" || cfg.Window == nil {
		return nil, fault.New(fault.Invalid, "%s: Config.Path and Config.Window are required", doing)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.KVBytes <= 0 {
		cfg.KVBytes = 64 << 20
	}
	if cfg.KVCache <= 0 {
		cfg.KVCache = 16 << 20
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Store{
		path:     cfg.Path,
		compact:  cfg.Compact,
		vacuum:   *newPace(vacuumPages),
		merge:    *newPace(mergeStep),
		sweep:    *newPace(sweepStep),
		urgent:   mergeUrgent,
		log:      cfg.Logger,
		now:      cfg.Now,
		fail:     fail,
		window:   cfg.Window,
		last:     cfg.Window.Last,
		ops:      make(chan *op, maxQueued),
		gathered: make(chan struct{}, 1),
		closing:  make(chan struct{}),
		stopped:  make(chan struct{}),
	}
	s.max.Store(cfg.MaxBytes)
	cache := kv.NewCache(cfg.KVCache, cfg.KVBytes, cfg.Now)
	s.kvBatch = kv.NewBatch(cache)
	_, err := datafile.Open(ctx, datafile.Config{Path: cfg.Path, Evidence: cfg.Evidence, AcceptDataLoss: cfg.AcceptDataLoss,
		Logger: cfg.Logger}, func(ctx context.Context, file *datafile.File) (datafile.Position, error) {
		return s.prepare(ctx, file, cache)
	})
	if err != nil {
		return nil, s.coded(doing, err)
	}
	go s.runWriter()
	s.keepers.Go(s.runKeeper)
	s.keepers.Go(s.runMerger)
	return s, nil
}

// prepare prepares the statements and reads the end of the log.
func (s *Store) prepare(ctx context.Context, file *datafile.File, cache *kv.Cache) (datafile.Position, error) {
	s.path, s.file, s.writer, s.reader = file.Path, file, file.Writer, file.Reader
	err := file.Rewrite(ctx, s.compact)
	for _, prepare := range []func(context.Context, *sql.DB) error{s.write.prepare, s.events.Prepare, s.replay.prepare, s.trim.prepare, s.dead.Prepare, s.blocks.Prepare,
		s.attempts.Prepare, s.docs.Prepare, s.later.Prepare, s.kvFile.Prepare} {
		if err == nil {
			err = prepare(ctx, s.writer)
		}
	}
	if err == nil {
		err = s.read.prepare(ctx, s.reader)
	}
	if err == nil {
		s.keys, err = keys.Open(ctx, keys.Config{Writer: s.writer, Reader: s.reader, Hash: s.fail.hash, Chunk: s.fail.chunk})
	}
	if err == nil {
		s.indexed = s.keys.Indexed()
		s.eventReader, err = logread.New(ctx, logread.Config{DB: s.reader, Last: s.last, Coded: s.coded, Lookup: s.keys.Lookup})
	}
	if err == nil {
		s.scheduledTable, err = scheduled.New(ctx, scheduled.Config{Writer: &s.later, DB: s.reader, Now: s.now, Coded: s.coded, Write: s.writeScheduled})
	}
	if err == nil {
		s.packed, err = outcomes.NewReader(ctx, s.reader)
	}
	if err == nil {
		s.backlogs, err = backlog.New(ctx, backlog.Config{DB: s.reader, Packed: s.packed, Logger: s.log})
	}
	if err == nil {
		s.deadList, err = deadletters.NewReader(ctx, s.reader)
	}
	if err == nil {
		s.past, err = attempts.NewReader(ctx, s.reader)
	}
	if err == nil {
		s.kvState, err = kv.NewState(ctx, kv.StateConfig{Cache: cache, Reader: s.reader, Closed: s.closed, Coded: s.coded, Send: s.sendKV, Log: s.log})
	}
	if err == nil {
		err = s.refresh(ctx)
	}
	return s.position(), err
}

// Close waits for the group that is being written, fails the operations behind it and
// closes the file. It is safe to call more than once.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		<-s.stopped
		s.keepers.Wait()
		s.copying.Lock() // a Snapshot ends early
		defer s.copying.Unlock()
		s.closeErr = s.coded("close the data file", s.file.Close())
	})
	return s.closeErr
}

// Reader returns the pool of read-only connections, for queries on tables that another
// package owns. Close closes it.
func (s *Store) Reader() *sql.DB { return s.reader }

func (s *Store) closed() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

func errClosed() error { return datafile.ErrClosed() }

// coded wraps an error with the operation and gives it a code.
func (s *Store) coded(doing string, err error) error {
	return datafile.Coded(doing, s.path, s.closed(), err)
}

// keepEvery is how often the keeper flushes the watermark and checks the names of the
// store's files, which the writer checks after every commit as well.
const keepEvery = time.Second

// runKeeper maintains the file until Close.
func (s *Store) runKeeper() {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if s.file.Keep() {
				s.RemoveExpired(context.Background())
				if !s.fail.keeps {
					s.keepConverting()
				}
				s.shrinkStep()
			}
		case <-s.closing:
			return
		}
	}
}

// Health returns nil while the store takes writes, and otherwise why it does not: one of
// its files was deleted, moved, replaced or truncated, or the last write failed on a
// damaged page. The former is detected with the next write, and without one within
// about a second.
func (s *Store) Health() error {
	if err := s.file.Detached(); err != nil {
		return err
	}
	if s.damaged.Load() {
		return fault.New(fault.Unavailable, "the last write failed because the store is damaged: see the log and berth doctor, and "+
			"restore a backup, or repair it: berth doctor --repair")
	}
	return nil
}

// noteDamage records whether a write of a client failed because of damage, until events
// are appended again. The store's own tasks, such as trimming, report it in their errors.
func (s *Store) noteDamage(g *group, err error) {
	if g.ops[0].alone || err != nil && !datafile.Damaged(err) || err == nil && len(g.records) == 0 {
		return
	}
	if is := err != nil; s.damaged.Swap(is) != is {
		if is {
			s.log.Error("write failed because the store is damaged; berth doctor lists the unreadable events", "path", s.path, "error", err)
		} else {
			s.log.Info("events are appended again")
		}
	}
}
