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
	r.used = e.shrink(r.limit, r.limit, "")
}

// add makes an entry of a child's directory and loads it, before another that is
// added can push it out. If there is no room left it then makes some: a tenth of
// all, so that not every entry that is added has to look at all others.
func (r *room) add(e entries, name key, dir string, report Report) (Verdict, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := e.add(name, dir, report); err != nil {
		return Verdict{}, err
	}
	verdict, ok, err := e.load(name)
	if err == nil && !ok {
		err = errors.New("the entry just made is gone")
	}
	if err != nil {
		return Verdict{}, err
	}
	if r.used += sizeOf(verdict.CodeDir); r.used > r.limit {
		r.used = e.shrink(r.limit, r.limit/10*9, verdict.CodeDir)
	}
	return verdict, nil
}

// shrink removes the entries that were not used for longest, if all together
// have more than limit bytes, until they have no more than most. It leaves the
// newest, or if that is "" the one that was used last, whatever its size: times of
// use can be of the future when the clock was set back. It returns what is left. The code
// of an entry that is in use is in memory: what is lost is that the next start
// need not compile.
func (e entries) shrink(limit, most int64, newest string) int64 {
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
		if path == newest {
			one.used = time.Unix(math.MaxInt32<<10, 0) // behind all
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
