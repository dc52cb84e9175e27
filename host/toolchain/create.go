package toolchain

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/berth-host/berth/abi"
)

// templates has a directory for each language, with the files of a new project, and one
// (shared) with the files of every project, unless the language has a file of that name.
//
// In a path NAME stands for the project's name, and the suffix .tmpl is removed: it is there
// for files that tools would take for their own, such as go.mod. In a file {{.Name}} stands
// for the name, and {{.Ident}} for the name as an identifier, with _ for -.
//
//go:embed all:templates
var templates embed.FS

const vendored = "berth" // the directory of the SDK in a new project

// Create makes a new project: a directory with a small complete handler and the SDK. dir must
// not exist, or be empty. It is there completely or not at all.
func Create(l Language, name, dir string) (err error) {
	if err := abi.CheckName(name); err != nil {
		return err
	}
	files, err := l.files(name)
	if err != nil {
		return err
	}
	switch entries, err := os.ReadDir(dir); {
	case err == nil && len(entries) > 0:
		return fmt.Errorf("%s exists and is not empty: choose another directory", dir)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(filepath.Clean(dir))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(parent, ".berth-new-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}()
	for name, contents := range files {
		target := filepath.Join(temp, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, contents, 0o644); err != nil {
			return err
		}
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	if err := syscall.Rename(temp, dir); err != nil { // os.Rename refuses an empty directory
		return fmt.Errorf("make %s: %w", dir, err)
	}
	return nil
}

// MainFile returns the path of the file of a new project to begin with.
func (l Language) MainFile(name string) string { return filled(l.Main, name) }

// files returns the files of a new project by their paths.
func (l Language) files(name string) (map[string][]byte, error) {
	files := make(map[string][]byte)
	marks := strings.NewReplacer("{{.Name}}", name, "{{.Ident}}", strings.ReplaceAll(name, "-", "_"))
	for _, from := range []string{"shared", l.Name} { // the language's replace the shared ones
		tree, err := fs.Sub(templates, path.Join("templates", from))
		if err != nil {
			return nil, err
		}
		template, err := filesOf(tree)
		if err != nil {
			return nil, fmt.Errorf("the template of %s: %w", l.Title, err)
		}
		for file, contents := range template {
			files[strings.TrimSuffix(filled(file, name), ".tmpl")] = []byte(marks.Replace(string(contents)))
		}
	}
	if l.SDK == nil {
		return files, nil
	}
	sdk, err := l.SDK()
	if err != nil {
		return nil, fmt.Errorf("the SDK of %s: %w", l.Title, err)
	}
	for file, contents := range sdk {
		files[path.Join(vendored, file)] = contents
	}
	return files, nil
}

// filled replaces NAME in a path of a template.
func filled(file, name string) string { return strings.ReplaceAll(file, "NAME", name) }

// filesOf returns the files of a tree by their paths.
func filesOf(tree fs.FS) (map[string][]byte, error) {
	files := make(map[string][]byte)
	err := fs.WalkDir(tree, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files[file], err = fs.ReadFile(tree, file)
		return err
	})
	return files, err
}
