package audit

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// List returns the latest records, at most limit, the oldest first, from the file
// and the rotated ones. It skips partial lines of a crash. Without a file it returns
// none.
func List(path string, limit int) ([]Record, error) {
	var found []Record
	for n := 0; len(found) < limit; n++ {
		from := path
		if n > 0 {
			from = Older(path, n)
		}
		records, err := readAll(from)
		if errors.Is(err, fs.ErrNotExist) {
			if n == 0 { // between two steps of a rotation the first file is missing
				continue
			}
			break
		}
		if err != nil {
			return nil, err
		}
		found = append(records, found...)
	}
	return found[max(0, len(found)-limit):], nil
}

func readAll(path string) ([]Record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var records []Record
	lines := bufio.NewReader(f)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return records, nil // a remainder is a partial line
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		if r, ok := parse(line); ok {
			records = append(records, r)
		}
	}
}

func parse(line []byte) (Record, bool) {
	var r Record
	err := json.Unmarshal(line, &r)
	return r, err == nil && !r.At.IsZero()
}

// pollEvery is the interval at which Follow checks for new records.
const pollEvery = 200 * time.Millisecond

// Follow calls show with every record appended from now on, until ctx ends (nil) or
// show returns an error. It follows rotations.
func Follow(ctx context.Context, path string, show func(Record) error) error {
	f, at, err := openEnd(path)
	if err != nil {
		return err
	}
	return follow(ctx, path, f, at, show)
}

// follow is Follow from an offset of f, which it closes; nil without a file.
func follow(ctx context.Context, path string, f *os.File, at int64, show func(Record) error) error {
	defer func() { _ = f.Close() }() // of nil too: an ignored error
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		same := f != nil && sameFile(f, now)
		if !same && f != nil { // rotated: first the remaining records of the former file
			if at, err = showFrom(f, at, show); err != nil {
				return errors.Join(err, now.Close())
			}
		}
		if same {
			_ = now.Close()
		} else {
			_ = f.Close()
			f, at = now, 0
		}
		if at, err = showFrom(f, at, show); err != nil {
			return err
		}
	}
}

func openEnd(path string) (*os.File, int64, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

func sameFile(a, b *os.File) bool {
	x, errA := a.Stat()
	y, errB := b.Stat()
	return errA == nil && errB == nil && os.SameFile(x, y)
}

// showFrom shows the complete lines from an offset and returns their end.
func showFrom(f *os.File, at int64, show func(Record) error) (int64, error) {
	lines := bufio.NewReader(io.NewSectionReader(f, at, 1<<62))
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return at, nil
		}
		if err != nil {
			return at, fault.New(fault.Unavailable, "follow audit log: %w", err)
		}
		at += int64(len(line))
		if r, ok := parse(line); ok {
			if err := show(r); err != nil {
				return at, err
			}
		}
	}
}

// Find returns the latest changes and refusals that a query selects, the newest last, and
// the cursor of the page before them, "" at the beginning of the log. fault.Invalid: the
// cursor is of a change that is not in the log any more.
func Find(path string, q spec.AuditQuery) (page []Record, next string, err error) {
	for read := 4 * q.Limit; ; read *= 8 { // each change has two records
		records, err := List(path, read)
		if err != nil {
			return nil, "", err
		}
		changes, end := Changes(records), len(records) < read
		known := true
		if q.Cursor != "" {
			from := slices.IndexFunc(changes, func(r Record) bool { return r.ID == q.Cursor })
			known, changes = from >= 0, changes[:max(from, 0)]
		}
		found := slices.DeleteFunc(changes, func(r Record) bool { return !selects(q, r) })
		switch {
		case !end && (!known || len(found) <= q.Limit):
			continue // further back
		case !known:
			return nil, "", fault.Field("cursor", "the change that it names is not in the audit log any more; begin again without it")
		case len(found) > q.Limit:
			found = found[len(found)-q.Limit:]
			return found, found[0].ID, nil
		}
		return found, "", nil
	}
}

// selects reports whether a query selects a record.
func selects(q spec.AuditQuery, r Record) bool {
	result := r.Result
	switch r.Stage {
	case Begin:
		result = "begun"
	case Refused:
		result = "refused"
	}
	return (q.Action == "" || r.Action == q.Action) && (q.Who == "" || r.Who == q.Who || r.TokenID == q.Who) &&
		(q.Target == "" || r.Target == q.Target) && (q.Result == "" || result == q.Result) &&
		(q.Since.IsZero() || !r.At.Before(q.Since)) && (q.Until.IsZero() || r.At.Before(q.Until))
}

// Changes is Find in this log. It implements ports.AuditLog.
func (l *Log) Changes(q spec.AuditQuery) (page []Record, next string, err error) {
	return Find(l.cfg.Path, q)
}

// Changes merges the two records of each change into one, ordered by their end. A
// change without an end, because it was in progress or the host crashed, keeps the
// stage begin.
func Changes(records []Record) []Record {
	var out []Record
	begun := make(map[string]int) // id → index in out
	for _, r := range records {
		switch r.Stage {
		case Begin:
			begun[r.ID] = len(out)
		case End:
			if i, ok := begun[r.ID]; ok {
				out[i].ID = ""
				delete(begun, r.ID)
			}
		}
		out = append(out, r)
	}
	return slices.DeleteFunc(out, func(r Record) bool { return r.ID == "" })
}
