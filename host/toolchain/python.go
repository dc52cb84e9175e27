package toolchain

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/berth-host/berth/abi/python"
)

// pythonMain is the file of a handler in Python that is run. It may import the others.
const pythonMain = "handler.py"

// pythonLanguage needs no tools: the interpreter is in this program, and a build puts the
// project's files into it.
func pythonLanguage() Language {
	return Language{
		Name: "python", Title: "Python", Main: pythonMain,
		Detect: func(dir fs.FS) bool { return anyFile(dir, "*.py") },
		Build: func(_ context.Context, b *Build) error {
			files, err := pythonFiles(b)
			if err != nil {
				return err
			}
			module, err := python.Module(files)
			if err != nil {
				return err
			}
			return os.WriteFile(b.Output, module, 0o644)
		},
		SDK: func() (map[string][]byte, error) {
			types, err := fs.Sub(python.Stubs, "stubs/berth")
			if err != nil {
				return nil, err
			}
			return filesOf(types)
		},
	}
}

// pythonFiles returns the project's files, the one that is run first.
func pythonFiles(b *Build) ([]python.File, error) {
	names, err := b.sources("*.py")
	if err != nil {
		return nil, err
	}
	main := slices.Index(names, pythonMain)
	switch {
	case main >= 0:
		names = slices.Insert(slices.Delete(names, main, main+1), 0, pythonMain)
	case len(names) > 1:
		return nil, fmt.Errorf("%s has several Python files, and none is %s, which is run first", b.Dir, pythonMain)
	}
	var files []python.File
	for _, name := range names {
		source, err := os.ReadFile(filepath.Join(b.Dir, name))
		if err != nil {
			return nil, err
		}
		files = append(files, python.File{Name: name, Source: string(source)})
	}
	return files, nil
}
