package store

import (
	"context"
	"database/sql"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// Config sets up a Store. Path and Window are required; the zero value of every
// other field is its default.
type Config struct {
	Path   string       // the data file; its directory must exist
	Logger *slog.Logger // nil discards

	// Window holds the newest events, so that readers at the log's end need not
	// parse them. Required.
	Window Window

	// MaxBytes bounds the log, in bytes as event.Event.Size counts them: Append
	// and Write that would go over it are fault.Exhausted with a RetryAfter until
	// events are trimmed. Children are exempt, or no handler could settle what
	// makes room. 0 is no bound. SetMaxBytes changes it.
	MaxBytes int64

	// KVBytes bounds the key-value state of one plugin: keys, values and 128
	// bytes for each entry together (default 64 MiB).
	KVBytes int64

	// Evidence names files beside the data file that exist only after a store was
	// used: with one of them, a missing or empty data file is refused.
	Evidence []string
	// AcceptDataLoss opens a data file that lacks acknowledged writes, or makes a
	// new one in the place of one that is missing, and logs what is lost as an error.
	AcceptDataLoss bool

	// Compact rewrites the file at Open, so that it has no free pages and becomes
	// smaller by itself from then on. It takes as much free disk space again.
	Compact bool

	Now func() time.Time // the clock, for when events were appended; nil is time.Now
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

// Store is the open data file. All methods are safe for concurrent use.
type Store struct {
	path string
	log  *slog.Logger
	now  func() time.Time

	evidence   []string
	acceptLoss bool
	compact    bool
	lost       uint64 // the Seq up to which events were accepted as lost; used by Open only

	kvBytes int64
	max     atomic.Int64 // Config.MaxBytes
	fail    faults

	lock      *fileLock
	watermark watermark
	attached  attachment

	writer *sql.DB // one connection, used by the writer goroutine only
	reader *sql.DB // read-only connections
	write  writeStatements
	dead   deadStatements
	trim   trimStatements
	read   readStatements

	window  Window
	last    func() uint64 // the highest Seq that is durable
	trimmed atomic.Uint64 // the events up to here that are left are leftovers; see Trim

	ops       chan *op
	gathered  chan struct{} // told when awaited operations are queued; room for one
	awaited   atomic.Int64  // 0: none are
	closing   chan struct{} // closed by Close
	stopped   chan struct{} // closed when the writer goroutine has ended
	kept      chan struct{} // closed when the keeper goroutine has ended
	closeOnce sync.Once
	closeErr  error

	// Owned by the keeper goroutine.
	vacuum pace // of the steps that give pages back
	shrunk bool // and the file is not cut yet

	// Owned by the writer goroutine.
	callers  int           // operations to expect in a group, from the groups before
	took     time.Duration // writing the group before
	expired  bool          // the newest group has waited for more than came
	batch    []insertion   // room for a group's events
	carried  *op           // was taken from ops, and begins the next group
	stale    bool          // what the file holds must be read again before the next group
	appended int64         // unix ns at which the newest event was appended; never goes back
	size     size          // of the log
	id       string        // of the store
	writes   uint64        // that were committed
	topics   topics        // of the newest block
}

// Open opens the data file, creates it when it is missing, and upgrades an
// older one. It refuses, with an error that says what to do: a file another
// process has open, one that a newer Berth wrote, one that is not Berth's, a
// damaged one, a file system on which WAL does not work, and, as fault.Conflict
// unless Config.AcceptDataLoss is set, a file that lacks acknowledged writes.
//
// Call Close when done. ctx bounds Open alone.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	return open(ctx, cfg, faults{})
}

func open(ctx context.Context, cfg Config, fail faults) (*Store, error) {
	if cfg.Path == "" || cfg.Window == nil {
		return nil, fault.New(fault.Invalid, "open the data file: Config.Path and Config.Window are required")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.KVBytes <= 0 {
		cfg.KVBytes = 64 << 20
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Store{
		path:       cfg.Path,
		evidence:   cfg.Evidence,
		acceptLoss: cfg.AcceptDataLoss,
		compact:    cfg.Compact,
		vacuum:     *newPace(vacuumPages),
		log:        cfg.Logger,
		now:        cfg.Now,
		kvBytes:    cfg.KVBytes,
		fail:       fail,
		window:     cfg.Window,
		last:       cfg.Window.Last,
		ops:        make(chan *op, maxQueued),
		gathered:   make(chan struct{}, 1),
		closing:    make(chan struct{}),
		stopped:    make(chan struct{}),
		kept:       make(chan struct{}),
	}
	s.max.Store(cfg.MaxBytes)
	if err := s.openFile(ctx); err != nil {
		s.closeFile() //nolint:errcheck // the first error is the one to tell
		return nil, s.coded("open the data file", err)
	}
	go s.runWriter()
	go s.runKeeper()
	return s, nil
}

// Close waits for the group that is being written, fails what waits behind it,
// and closes the file. It is safe to call more than once.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		<-s.stopped
		<-s.kept
		s.closeErr = s.coded("close the data file", s.closeFile())
	})
	return s.closeErr
}

// Reader returns the pool of read-only connections, for queries on tables that
// another package owns. It is closed with the store.
func (s *Store) Reader() *sql.DB { return s.reader }

func (s *Store) closed() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

func errClosed() error {
	return fault.New(fault.Unavailable, "the data file is closed")
}

// readers is how many read-only connections there may be.
func readers() int { return max(4, runtime.GOMAXPROCS(0)) }
