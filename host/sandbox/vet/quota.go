package vet

import (
	"cmp"
	"encoding/hex"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// quota bounds the total size of the cache. Without it, a host that runs for months
// while its plugins are replaced daily would fill its disk with former versions' code.
type quota struct {
	limit int64 // bytes

	mu   sync.Mutex
	used int64 // upper bound: entries removed by others count until the next evict
}

// fit evicts entries until the cache fits the limit.
func (q *quota) fit(e entries) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.used = e.evict(q.limit, q.limit, "")
}

// add turns a child's directory into an entry and loads it before another add can evict
// it. If the cache is then over its limit, it evicts entries down to nine tenths of the
// limit, so that not every add has to scan the directory.
func (q *quota) add(e entries, name key, dir string, report Report) (Verdict, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := e.add(name, dir, report); err != nil {
		return Verdict{}, err
	}
	verdict, ok, err := e.load(name)
	if err == nil && !ok {
		err = errors.New("the entry just added is gone")
	}
	if err != nil {
		return Verdict{}, err
	}
	if q.used += sizeOf(verdict.CodeDir); q.used > q.limit {
		q.used = e.evict(q.limit, q.limit/10*9, verdict.CodeDir)
	}
	return verdict, nil
}

// evict removes the least recently used entries, if all entries exceed limit bytes,
// until they have at most target bytes, and returns the bytes left. It keeps newest, or
// the last used entry if newest is "", whatever its size: a clock that was set back
// leaves times of use in the future. The code of a loaded entry is in memory; its
// eviction only means that the next start compiles again.
func (e entries) evict(limit, target int64, newest string) int64 {
	type entry struct {
		path string
		size int64
		used time.Time
	}
	list, err := os.ReadDir(e.dir)
	if err != nil {
		return 0
	}
	var all []entry
	total := int64(0)
	for _, d := range list {
		if len(d.Name()) != hex.EncodedLen(len(key{})) {
			continue
		}
		path := filepath.Join(e.dir, d.Name())
		one := entry{path: path, size: sizeOf(path)}
		if info, err := os.Stat(filepath.Join(path, verdictFile)); err == nil {
			one.used = info.ModTime() // zero for a damaged entry
		}
		if path == newest {
			one.used = time.Unix(math.MaxInt32<<10, 0) // after all others
		}
		all = append(all, one)
		total += one.size
	}
	if total <= limit {
		return total
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.path, b.path)) })
	for _, one := range all[:max(len(all)-1, 0)] {
		if total <= target {
			break
		}
		if os.RemoveAll(one.path) == nil {
			total -= one.size
		}
	}
	return total
}

// sizeOf returns the total size of the files below dir in bytes.
func sizeOf(dir string) (size int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil // removed in the meantime
	})
	return size
}
