package folder

import (
	"os"
	"path/filepath"
	"time"
)

// Sweep removes the temporary files of interrupted Puts in the directories that are older
// than before; a newer one may belong to a running process. It returns the removed paths.
// A file that cannot be removed stays; it is never taken for a module.
func Sweep(dirs []string, before time.Time) []string {
	var swept []string
	for _, dir := range dirs {
		left, err := filepath.Glob(filepath.Join(quoteGlob(dir), ".?*.wasm.*.tmp"))
		if err != nil {
			continue // impossible: quoteGlob returns a valid pattern
		}
		for _, path := range left {
			now, err := os.Lstat(path)
			if err != nil || !now.Mode().IsRegular() || !now.ModTime().Before(before) {
				continue
			}
			if err := remove(path); err == nil || gone(err) {
				swept = append(swept, path)
			}
		}
	}
	return swept
}

// quoteGlob quotes the special characters of a pattern.
func quoteGlob(dir string) string {
	var b []byte
	for i := range len(dir) {
		switch dir[i] {
		case '*', '?', '[', '\\':
			b = append(b, '\\')
		}
		b = append(b, dir[i])
	}
	return string(b)
}
