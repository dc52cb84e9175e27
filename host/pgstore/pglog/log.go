package pglog

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/pgstore/group"
)

// Window is the memory of the newest events that the log fills; see bus.Window.
type Window interface {
	Add(records []event.Record)
	Trim(before uint64)
	Reset(last uint64)
	Read(from uint64, limit int) (records []event.Record, ok bool)
	Last() uint64
	Wait(ctx context.Context, after uint64, closed <-chan struct{}) error
}

// Config sets up a Log. DB and Window are required.
type Config struct {
	DB       *conn.DB
	Window   Window
	MaxBytes int64            // see bus.Log
	Now      func() time.Time // nil is time.Now
	Logger   *slog.Logger     // nil discards
	// Seen, if it is not "", is a file of this host's that has what it has seen of the log; see
	// checkSeen.
	Seen string
	// Lost, if it is not nil, is called when the database has lost events that this host has
	// seen; see errLost. Everything that was made from the log is to be loaded again.
	Lost func(error)
}

// Log is the event log. All methods are safe for concurrent use.
type Log struct {
	cfg      Config
	db       *conn.DB
	window   Window
	log      *slog.Logger
	now      func() time.Time
	maxBytes atomic.Int64

	closing chan struct{}
	closed  sync.Once
	running sync.WaitGroup
	appends *group.Queue[*call]
	repeats bool // the last group of appends had events whose keys were taken

	// tail orders the changes of the window. The fields below belong to its holder.
	tail     sync.Mutex
	store    string
	trimmed  uint64
	timeline string
	newest   event.Record // the last one that was added

	written seen // by follow
}

// Open reads the end of the log and follows it. Close it before its DB.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	l := &Log{cfg: cfg, db: cfg.DB, window: cfg.Window, log: cfg.Logger, now: cfg.Now, closing: make(chan struct{})}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.now == nil {
		l.now = time.Now
	}
	l.maxBytes.Store(cfg.MaxBytes)
	if err := l.reset(ctx); err != nil {
		return nil, err
	}
	l.running.Go(l.follow)
	l.appends = group.New(group.Config[*call]{Write: l.appendGroup,
		Size: func(c *call) (int, int64) { return len(c.events), c.size }})
	return l, nil
}

// Close waits for the appends under way. Every later call is fault.Unavailable, and so are
// those that wait. It is safe to call more than once.
func (l *Log) Close() {
	l.closed.Do(func() { close(l.closing) })
	l.appends.Close()
	l.running.Wait()
}

func (l *Log) usable(ctx context.Context, doing string) error {
	if err := ctx.Err(); err != nil {
		return conn.Coded(doing, err)
	}
	select {
	case <-l.closing:
		return errClosed(doing)
	default:
		return nil
	}
}

func errClosed(doing string) error {
	return fault.New(fault.Unavailable, "%s: the log is closed", doing)
}

// SetMaxBytes implements bus.Log.
func (l *Log) SetMaxBytes(bytes int64) { l.maxBytes.Store(bytes) }

// LogLimit returns the bound that SetMaxBytes has set.
func (l *Log) LogLimit() int64 { return l.maxBytes.Load() }

// Last implements bus.Log: the highest Seq that this host has seen.
func (l *Log) Last() uint64 { return l.window.Last() }

// Wait implements bus.Log.
func (l *Log) Wait(ctx context.Context, after uint64) error {
	const doing = "wait for events"
	if err := l.usable(ctx, doing); err != nil {
		return err
	}
	if err := l.window.Wait(ctx, after, l.closing); err != nil {
		return conn.Coded(doing, err)
	}
	if l.Last() <= after {
		return errClosed(doing)
	}
	return nil
}

const (
	maxRead = 4096 // records that one Read returns at most
	// maxReadBytes bounds the envelopes that one statement reads, except for the last one.
	maxReadBytes = 8 << 20
)

// Read implements bus.Log. It returns no event above Last: the window gets those first.
func (l *Log) Read(ctx context.Context, from uint64, limit int) (records []event.Record, err error) {
	const doing = "read the log"
	if limit < 1 {
		return nil, fault.New(fault.Invalid, "%s: the limit is %d, but must be at least 1", doing, limit)
	}
	if err := l.usable(ctx, doing); err != nil {
		return nil, err
	}
	limit = min(limit, maxRead)
	if records, ok := l.window.Read(from, limit); ok {
		return records, nil
	}
	last := l.Last()
	err = l.db.Read(ctx, doing, func(ctx context.Context, tx pgx.Tx) error {
		records, err = readRange(ctx, tx, from, last, limit)
		var bad *event.Unreadable
		if errors.As(err, &bad) && len(records) > 0 {
			return nil // the next Read begins there
		}
		return err
	})
	if err != nil {
		return nil, unreadable(err)
	}
	return records, nil
}

// selectRange selects events from one Seq to another, at most so many events and bytes.
const selectRange = `SELECT seq, envelope, origin FROM (
	SELECT seq, envelope, origin, sum(octet_length(envelope)) OVER (ORDER BY seq) - octet_length(envelope) AS before FROM (
		SELECT seq, envelope, origin FROM events WHERE seq >= $1 AND seq <= $2 ORDER BY seq LIMIT $3) AS page) AS sized
	WHERE before < $4 ORDER BY seq`

// readRange returns events from one Seq to another, both included, at most limit, and fewer if
// they are large. It passes over those that were skipped. With an error it also returns those
// before.
func readRange(ctx context.Context, tx pgx.Tx, from, to uint64, limit int) ([]event.Record, error) {
	for {
		rows, err := tx.Query(ctx, selectRange, signed(from), signed(to), limit, maxReadBytes)
		records, err := scan(rows, err)
		var bad *event.Unreadable
		if !errors.As(err, &bad) || len(records) > 0 {
			return records, err
		}
		until, skipped, failed := skippedAt(ctx, tx, bad.Seq)
		if failed != nil || !skipped {
			return nil, errors.Join(err, failed)
		}
		from = until + 1
	}
}

// scan reads rows of seq, envelope and origin. A row that is no event is *event.Unreadable;
// the records before it are returned, too.
func scan(rows pgx.Rows, err error) ([]event.Record, error) {
	if err != nil {
		return nil, err
	}
	var records []event.Record
	var seq int64
	var envelope, encoded []byte
	var origin event.Origin // of the event before, which often has the same
	var before string
	_, err = pgx.ForEachRow(rows, []any{&seq, &envelope, &encoded}, func() error {
		if string(encoded) != before {
			before = string(encoded)
			origin = event.ParseOrigin(before)
		}
		ev, err := event.ParseStored(string(envelope), origin)
		if err != nil {
			return &event.Unreadable{Seq: uint64(seq), To: uint64(seq), Err: err}
		}
		records = append(records, event.Record{Seq: uint64(seq), Event: ev})
		return nil
	})
	return records, err
}

// unreadable gives an error that is, in its chain, an *event.Unreadable its words and code.
func unreadable(err error) error {
	var bad *event.Unreadable
	if !errors.As(err, &bad) {
		return err
	}
	return fault.New(fault.Unavailable, "%w (restore a backup, or pass over it: berth events skip)", err)
}

// signed returns a Seq as the database has it.
func signed(seq uint64) int64 { return int64(min(seq, math.MaxInt64)) }
