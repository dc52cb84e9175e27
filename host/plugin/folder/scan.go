package folder

import (
	"os"
	"path/filepath"
)

// Listing is the result of a Scan.
type Listing struct {
	Files map[string]State // by path
	// Unreadable are the directories and files that could not be read, and may exist.
	Unreadable map[string]error
}

// Scan lists the modules in the directories, without subdirectories. A missing directory is
// empty. Links, pipes and devices are listed too, so that they can be reported as refused.
func Scan(dirs []string) Listing {
	l := Listing{Files: make(map[string]State), Unreadable: make(map[string]error)}
	for _, dir := range dirs {
		entries, err := readNames(dir)
		if err != nil && !gone(err) {
			l.Unreadable[dir] = err
			continue
		}
		for _, name := range entries {
			path := filepath.Join(dir, name)
			if module, ok := ModuleOf(path); !ok || module != path {
				continue
			}
			state, err := Stat(path)
			switch {
			case err != nil:
				l.Unreadable[path] = err
			case state.Module != Stamp{}:
				l.Files[path] = state
			}
		}
	}
	return l
}

func readNames(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	if closing := f.Close(); err == nil {
		err = closing
	}
	return names, err
}
