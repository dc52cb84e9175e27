package folder

import (
	"os"
	"path/filepath"
	"time"
)

// Sweep removes what a Put that was cut short has left in the directories, if
// it was made before the time given: a younger one may be another host's that
// is at work. It returns the paths it has removed. What cannot be removed stays;
// nothing ever takes it for a module.
func Sweep(dirs []string, before time.Time) []string {
	var swept []string
	for _, dir := range dirs {
		left, err := filepath.Glob(filepath.Join(globbed(dir), ".?*.wasm.*.tmp"))
		if err != nil {
			continue // the pattern is malformed, which globbed rules out
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

// globbed quotes what has a meaning in a pattern.
func globbed(dir string) string {
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
