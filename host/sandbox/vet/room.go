package vet

import (
	"cmp"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// room bounds what the cache's entries take together. A host that runs for
// months, and whose plugins are replaced every day, would fill its disk with the
// code of former versions otherwise.
type room struct {
	limit int64 // bytes

	mu   sync.Mutex
	used int64 // at least what there is: what others have removed counts until the next look
}

// fit makes the entries fit the limit.
func (r *room) fit(e entries) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used = e.shrink(r.limit, r.limit)
}

// take counts an entry that was added, and makes room if there is none left: a
// tenth of all, so that not every entry that is added has to look at all others.
func (r *room) take(e entries, dir string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.used += sizeOf(dir); r.used > r.limit {
		r.used = e.shrink(r.limit, r.limit/10*9)
	}
}

// shrink removes the entries that were not used for longest, if all together
// have more than limit bytes, until they have no more than most. It leaves the
// one that was used last, whatever its size, and returns what is left. The code
// of an entry that is in use is in memory: what is lost is that the next start
// need not compile.
func (e entries) shrink(limit, most int64) int64 {
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
			one.used = info.ModTime() // zero for what is damaged
		}
		all = append(all, one)
		total += one.size
	}
	if total <= limit {
		return total
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.path, b.path)) })
	for _, one := range all[:max(len(all)-1, 0)] {
		if total <= most {
			break
		}
		if os.RemoveAll(one.path) == nil {
			total -= one.size
		}
	}
	return total
}

// sizeOf is what the files below dir have, in bytes.
func sizeOf(dir string) (size int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil // what cannot be looked at is removed by somebody
	})
	return size
}
