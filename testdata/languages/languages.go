// Package languages describes the fixtures of this directory: handlers in each language
// that Berth has an SDK for, built by `make guests`, so that tests need only Go. A fixture
// is stale when the sources that it was built from have changed since.
package languages

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Dir is this directory, from the root of the repository.
const Dir = "testdata/languages"

// Language is a language with its handlers. Paths are from the root of the repository.
type Language struct {
	Name    string // as in `berth plugin new --lang`
	SDK     string // directory of the SDK
	Recipe  string // file of package toolchain that builds it
	Suffix  string // of the directories conformance, typical and minimum, where an SDK serves two languages
	Example string // directory of the example handler, "" for none
}

// All returns the languages whose handlers are fixtures. Go is not among them: tests build
// handlers in Go from source.
func All() []Language {
	return []Language{
		{Name: "assemblyscript", Recipe: "host/toolchain/assemblyscript.go", SDK: "abi/assemblyscript", Example: "plugins-src/loyalty-points"},
		{Name: "c", Recipe: "host/toolchain/c.go", SDK: "abi/c", Example: "plugins-src/invoice-numbers"},
		{Name: "cpp", Recipe: "host/toolchain/cpp.go", SDK: "abi/c", Suffix: "-cpp", Example: "plugins-src/currency-report"},
		{Name: "java", Recipe: "host/toolchain/java.go", SDK: "abi/java"},
		{Name: "javascript", Recipe: "host/toolchain/javascript.go", SDK: "abi/js"},
		{Name: "python", Recipe: "host/toolchain/python.go", SDK: "abi/python"},
		{Name: "rust", Recipe: "host/toolchain/rust.go", SDK: "abi/rust", Example: "plugins-src/fraud-check"},
		{Name: "typescript", Recipe: "host/toolchain/javascript.go", SDK: "abi/js", Suffix: "-ts", Example: "plugins-src/order-summary"},
		{Name: "zig", Recipe: "host/toolchain/zig.go", SDK: "abi/zig", Example: "plugins-src/stock-alert"},
	}
}

// Project returns the directory of one of the SDK's handlers: conformance, typical or minimum.
func (l Language) Project(kind string) string { return path.Join(l.SDK, kind+l.Suffix) }

// Modules returns the handlers that are fixtures: the file in Dir/Name, and its project.
func (l Language) Modules() map[string]string {
	modules := map[string]string{"conformance.wasm": l.Project("conformance")}
	if l.Example != "" {
		modules[path.Base(l.Example)+".wasm"] = l.Example
	}
	return modules
}

// Fixture is the file fixture.json of a language.
type Fixture struct {
	Source  string            `json:"source_sha256"` // of the sources, see Language.Source
	Tools   []string          `json:"tools"`         // with their versions
	Modules map[string]Module `json:"modules"`       // by file name
}

// Module is a built handler.
type Module struct {
	SHA256 string `json:"sha256"`
	Size   int    `json:"size"` // in bytes
}

// built are directories that builds create in a project.
var built = []string{"node_modules", "target", "build", "dist", "zig-out", ".zig-cache", "zig-cache", ".cache"}

// Source returns the digest of a language's sources: the names and contents of its recipe
// and of the files of its SDK and its example, without documents and what builds leave.
func (l Language) Source(root fs.FS) (string, error) {
	sum := sha256.New()
	dirs := []string{l.SDK, l.Recipe}
	if l.Example != "" {
		dirs = append(dirs, l.Example)
	}
	for _, dir := range dirs {
		err := fs.WalkDir(root, dir, func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && slices.Contains(built, d.Name()):
				return fs.SkipDir
			case d.IsDir(), slices.Contains([]string{".wasm", ".md", ".tmp"}, path.Ext(name)),
				slices.Contains([]string{".gitignore", "Cargo.lock"}, d.Name()): // the crates have no dependencies to lock
				return nil
			}
			f, err := root.Open(name)
			if err != nil {
				return err
			}
			defer f.Close()
			content := sha256.New()
			if _, err := io.Copy(content, f); err != nil {
				return err
			}
			fmt.Fprintf(sum, "%s %x\n", name, content.Sum(nil))
			return nil
		})
		if err != nil {
			return "", fmt.Errorf("hash the sources of %s: %w", l.Name, err)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// Read reads the fixture of a language.
func (l Language) Read(root fs.FS) (Fixture, error) {
	var f Fixture
	text, err := fs.ReadFile(root, path.Join(Dir, l.Name, "fixture.json"))
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return f, fmt.Errorf("read the fixture of %s: %w", l.Name, err)
	}
	return f, nil
}

// Check returns an error that says what is stale or damaged in the fixture of a language.
func (l Language) Check(root fs.FS) error {
	f, err := l.Read(root)
	if err != nil {
		return err
	}
	source, err := l.Source(root)
	if err != nil {
		return err
	}
	var problems []error
	if source != f.Source {
		problems = append(problems, fmt.Errorf("the sources of %s (%s) have changed since its fixtures were built: run make guests",
			l.Name, strings.Trim(l.SDK+", "+l.Example, ", ")))
	}
	for name := range l.Modules() {
		wasm, err := fs.ReadFile(root, path.Join(Dir, l.Name, name))
		if err != nil {
			problems = append(problems, err)
			continue
		}
		if sum := sha256.Sum256(wasm); hex.EncodeToString(sum[:]) != f.Modules[name].SHA256 {
			problems = append(problems, fmt.Errorf("%s/%s/%s is not the module that fixture.json names: run make guests", Dir, l.Name, name))
		}
	}
	return errors.Join(problems...)
}
