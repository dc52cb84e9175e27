package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/berth-host/berth/host/fault"
)

// Source reads the rows of an engine.
type Source interface {
	// Store returns the id of the store, which a copy keeps.
	Store(ctx context.Context) (id string, err error)
	// Count returns the number of rows of a kind.
	Count(ctx context.Context, k *Kind) (int64, error)
	// Page returns the first rows of a kind whose keys come after one, nil for all, until
	// the page is full; see Page.Add. No row: there are none after it.
	Page(ctx context.Context, k *Kind, after Row) ([]Row, error)
}

// Target is an engine that a copy is made in, under a name by which no host finds it.
type Target interface {
	Source
	// Begin starts a copy of the store with this id, or continues one. fault.Conflict: what
	// is there is the unfinished copy of another store.
	Begin(ctx context.Context, store string) (Progress, error)
	// Write stores rows and the position after them, in one transaction.
	Write(ctx context.Context, k *Kind, rows []Row, at Position) error
	// Commit computes what the engine stores besides the rows, and gives the copy the name by
	// which a host finds it. The target is not used after that.
	Commit(ctx context.Context) error
}

// Progress is how far a copy is.
type Progress struct {
	Positions map[string]Position // the last one of each kind that Write has stored
	Complete  bool                // Commit was called: nothing is written
}

// Position is how far a kind was copied.
type Position struct {
	Key  []byte // of the last row, as Row.Append encodes it; nil before the first one
	Rows int64  // that were copied
	Done bool
}

// Config sets up a copy. From and To are required.
type Config struct {
	From Source
	To   Target
	// Progress is called with the step ("copy" or "compare"), the kind, and the number of its
	// rows that are done, of all; nil for no progress.
	Progress func(step, kind string, n, of int64)
}

// Result is the outcome of a kind: its number of rows, and the SHA-256 of all of them in
// the order of their keys, in hex. Both sides have it.
type Result struct {
	Kind   string `json:"kind"`
	Rows   int64  `json:"rows"`
	Digest string `json:"sha256"`
}

// Copy copies all kinds from an engine to another, compares both sides, and only if they are
// equal commits the copy. After an error it can be called again and continues.
// fault.Conflict: the sides differ.
func Copy(ctx context.Context, cfg Config) ([]Result, error) {
	if cfg.Progress == nil {
		cfg.Progress = func(string, string, int64, int64) {}
	}
	store, err := cfg.From.Store(ctx)
	if err != nil {
		return nil, err
	}
	begun, err := cfg.To.Begin(ctx, store)
	if err != nil {
		return nil, err
	}
	for _, k := range Kinds() {
		if at := begun.Positions[k.Name]; !at.Done && !begun.Complete {
			if err := cfg.copyKind(ctx, k, at); err != nil {
				return nil, fmt.Errorf("copy %s: %w", k.Name, err)
			}
		}
	}
	advice := "the source was changed since the copy was begun; stop its hosts and begin again with --restart"
	if begun.Complete {
		advice = "one of them was used since; move the copy away or name another place for a new one"
	}
	results, err := cfg.compare(ctx, advice)
	if err != nil || begun.Complete {
		return results, err
	}
	return results, cfg.To.Commit(ctx)
}

// copyKind copies the rows of a kind behind a position. It reads the next page while it writes
// one.
func (c Config) copyKind(ctx context.Context, k *Kind, at Position) error {
	total, err := c.From.Count(ctx, k)
	if err != nil {
		return err
	}
	var after Row
	if at.Key != nil {
		if after, err = k.decodeKey(at.Key); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	pages := c.read(ctx, c.From, k, after)
	defer func() {
		cancel()
		for range pages { // its goroutine ends
		}
	}()
	for p := range pages {
		if p.err != nil {
			return p.err
		}
		at.Rows += int64(len(p.rows))
		at.Done = len(p.rows) == 0
		if !at.Done {
			at.Key = p.rows[len(p.rows)-1][:k.Key].Append(nil)
		}
		if err := c.To.Write(ctx, k, p.rows, at); err != nil {
			return err
		}
		c.Progress("copy", k.Name, at.Rows, max(total, at.Rows))
	}
	return ctx.Err()
}

// page is a page that was read, or the error of it.
type page struct {
	rows []Row
	err  error
}

// read reads pages into a channel until one is empty, one fails or ctx ends. The channel is
// closed when the goroutine ends.
func (c Config) read(ctx context.Context, from Source, k *Kind, after Row) <-chan page {
	pages := make(chan page)
	go func() {
		defer close(pages)
		for {
			rows, err := from.Page(ctx, k, after)
			select {
			case pages <- page{rows, err}:
			case <-ctx.Done():
				return
			}
			if err != nil || len(rows) == 0 {
				return
			}
			after = rows[len(rows)-1][:k.Key]
		}
	}()
	return pages
}

// compare reads both sides and returns the digests of all kinds. Advice is for sides that differ.
func (c Config) compare(ctx context.Context, advice string) (results []Result, err error) {
	for _, k := range Kinds() {
		total, err := c.From.Count(ctx, k)
		if err != nil {
			return nil, fmt.Errorf("compare %s: %w", k.Name, err)
		}
		type digest struct {
			Result
			err error
		}
		copied := make(chan digest, 1)
		ctx, cancel := context.WithCancel(ctx)
		go func() {
			r, err := c.digest(ctx, c.To, k, func(int64) {})
			copied <- digest{r, err}
		}()
		want, err := c.digest(ctx, c.From, k, func(n int64) { c.Progress("compare", k.Name, n, max(total, n)) })
		if err != nil {
			cancel()
		}
		got := <-copied
		cancel()
		if err == nil {
			err = got.err
		}
		if err != nil {
			return nil, fmt.Errorf("compare %s: %w", k.Name, err)
		}
		if got.Result != want {
			return nil, fault.New(fault.Conflict, "the copy differs from the source in %s (%d rows with the digest %s, but the source has %d with %s): %s",
				k.Name, got.Rows, got.Digest, want.Rows, want.Digest, advice)
		}
		results = append(results, want)
	}
	return results, nil
}

// digest reads all rows of a kind.
func (c Config) digest(ctx context.Context, from Source, k *Kind, progress func(int64)) (r Result, err error) {
	ctx, cancel := context.WithCancel(ctx)
	pages := c.read(ctx, from, k, nil)
	defer func() {
		cancel()
		for range pages { // its goroutine ends
		}
	}()
	r.Kind = k.Name
	hash := sha256.New()
	var buffer []byte
	for p := range pages {
		if p.err != nil {
			return r, p.err
		}
		for _, row := range p.rows {
			buffer = row.Append(buffer[:0])
			hash.Write(buffer)
		}
		r.Rows += int64(len(p.rows))
		progress(r.Rows)
	}
	r.Digest = hex.EncodeToString(hash.Sum(nil))
	return r, ctx.Err()
}
