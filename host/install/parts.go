package install

import (
	"cmp"
	"errors"
	"io/fs"
	"slices"
	"time"
)

// Limits of the unfinished downloads.
const (
	partsMaxAge = 24 * time.Hour
	maxParts    = 4 // all of them together, in modules of the largest size
)

// dropOldParts removes downloads that were not resumed for a day, and the oldest if there
// are too many, except for that of the digest wanted; "" for none.
func (i *Installer) dropOldParts(wanted string) {
	entries, err := fs.ReadDir(i.store.root.FS(), partDir)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var parts []fs.FileInfo
	for _, e := range entries {
		info, problem := e.Info()
		if problem == nil {
			parts = append(parts, info)
		} else if !errors.Is(problem, fs.ErrNotExist) {
			err = errors.Join(err, problem)
		}
	}
	slices.SortFunc(parts, func(a, b fs.FileInfo) int { // the latest first
		return cmp.Or(b.ModTime().Compare(a.ModTime()), cmp.Compare(a.Name(), b.Name()))
	})
	left := maxParts * i.cfg.MaxSize
	for _, p := range parts {
		path := partDir + "/" + p.Name()
		if wanted != "" && path == partPath(wanted) {
			continue
		}
		if left -= p.Size(); left < 0 || i.cfg.Now().Sub(p.ModTime()) > partsMaxAge {
			err = errors.Join(err, i.store.root.Remove(path))
		}
	}
	if err != nil {
		i.cfg.Logger.Warn("old downloads not removed", "error", err)
	}
}
