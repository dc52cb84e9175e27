package toolchain

import (
	"context"
	_ "embed"
	"errors"
	"io/fs"
	"strings"
)

// goSDK is the Go SDK as one text, because the module of abi/go cannot be embedded from this
// one. TestGoSDKIsFresh compares it with abi/go, and writes it with -update.
//
//go:embed gosdk.txtar
var goSDK string

func goLanguage() Language {
	const tool = "Go"
	return Language{
		Name: "go", Title: "Go", Main: "main.go",
		Tools: []Tool{{Name: tool, Commands: []string{"go"}, Version: []string{"version"},
			Install: "apt-get install golang-go (Go 1.24 or later; https://go.dev/dl has it for every system)"}},
		Detect: func(dir fs.FS) bool { return anyFile(dir, "go.mod", "*.go") },
		Build: func(ctx context.Context, b *Build) error {
			b.Env = append(b.Env, "GOOS=wasip1", "GOARCH=wasm")
			return b.Run(ctx, tool, "build", "-trimpath", "-ldflags=-w", "-o", b.Output, ".")
		},
		SDK: func() (map[string][]byte, error) { return parseArchive(goSDK) },
	}
}

// parseArchive returns the files of a text of the form
//
//	-- PATH --
//	lines of the file
//
// for each file.
func parseArchive(text string) (map[string][]byte, error) {
	files := make(map[string][]byte)
	name := ""
	for line := range strings.Lines(text) {
		if path, ok := marker(line); ok {
			name = path
			if files[name] != nil {
				return nil, errors.New(name + " is there twice")
			}
			files[name] = []byte{}
			continue
		}
		if name == "" {
			return nil, errors.New("the first line does not name a file")
		}
		files[name] = append(files[name], line...)
	}
	return files, nil
}

// marker returns the path in a line that begins a file.
func marker(line string) (path string, ok bool) {
	path, ok = strings.CutPrefix(line, "-- ")
	if ok {
		path, ok = strings.CutSuffix(path, " --\n")
	}
	return path, ok && path != ""
}
