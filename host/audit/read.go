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

// Latest returns the latest changes and refusals of a log, at most limit, the newest
// last.
func Latest(path string, limit int) ([]Record, error) {
	records, err := List(path, 2*limit) // each change has two records
	if err != nil {
		return nil, err
	}
	changes := Changes(records)
	return changes[max(0, len(changes)-limit):], nil
}

// Changes is Latest of this log. It implements api.AuditLog.
func (l *Log) Changes(limit int) ([]Record, error) { return Latest(l.cfg.Path, limit) }

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
