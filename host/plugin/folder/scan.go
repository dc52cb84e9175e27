package folder

import (
	"os"
	"path/filepath"
)

// Listing is what the directories held when Scan looked.
type Listing struct {
	Files map[string]State // by path
	// Unreadable has the directories, and the files, that are there for all
	// Scan knows but could not be looked at. What was known of them stands.
	Unreadable map[string]error
}

// Scan lists the modules that lie in the directories themselves, not below. A
// directory that does not exist is empty. A file's kind is not judged here, so
// that a person is told about the link or pipe that will be refused.
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
