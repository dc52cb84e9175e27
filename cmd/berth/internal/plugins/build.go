package plugins

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/plugin/folder"
	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/toolchain"
)

// builtModule is the answer of plugin build --json.
type builtModule struct {
	toolchain.Module
	Language string                  `json:"language"`
	Tools    []toolchain.ToolVersion `json:"tools"`
}

func (a app) build() *cobra.Command {
	var lang, output string
	cmd := command.New("build [DIR]", "Build a plugin's project, and put its manifest into the module",
		func(ctx context.Context, args []string) error {
			p, err := toolchain.Open(directory(args), lang)
			if err != nil {
				return err
			}
			if output == "" {
				output = p.Output()
			}
			module, err := a.buildProject(ctx, p, output)
			if err != nil || !a.JSON {
				return err
			}
			tools, err := p.Language.Versions(ctx)
			if err != nil {
				return err
			}
			return a.EncodeJSON(builtModule{Module: module, Language: p.Language.Name, Tools: tools}, true)
		})
	cmd.Long = `Builds the project in DIR, or in this directory, with the tools of its language, and puts
manifest.json into the module as the section berth.manifest. The language is recognised by
the files of the project. What the tools print is on standard error; when they fail, a
former module remains. It needs no running host.`
	cmd.Example = "  berth plugin build\n  berth plugin build stock-alert -o plugins/stock-alert.wasm"
	languageFlag(cmd, &lang, "the project's language, if its files do not show it")
	cmd.Flags().StringVarP(&output, "output", "o", "", "the file to write (default: NAME.wasm in the project's directory)")
	cmd.Flags().BoolVar(&a.JSON, "json", false, "print JSON: the module, the language, and its tools with their versions")
	return cmd
}

// directory returns the directory that a command line names.
func directory(args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	return "."
}

// buildProject builds a project to a file, shows what its tools print, and prints what was
// built.
func (a app) buildProject(ctx context.Context, p toolchain.Project, output string) (toolchain.Module, error) {
	log := &toolLog{Console: a.Console}
	module, err := p.Build(ctx, output, log)
	log.flush()
	var missing *toolchain.MissingError
	switch {
	case errors.As(err, &missing):
		return module, err
	case err != nil:
		return module, fmt.Errorf("build %s: %w", p.Name, err)
	}
	if !a.JSON {
		a.Print("built    %s (%s)\n", relative(module.Path), vet.Amount(uint64(module.Bytes), "bytes"))
	}
	if sidecar := folder.Sidecar(output); exists(sidecar) {
		a.Note("berth: %s is beside the module: in a watched directory it replaces the manifest inside\n", relative(sidecar))
	}
	return module, nil
}

// relative returns a path relative to this directory if it is below it.
func relative(path string) string {
	dir, err := os.Getwd()
	if err != nil {
		return path
	}
	if below, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(below) {
		return below
	}
	return path
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// toolLog prints what tools print, line by line, on standard error. It is not safe for
// concurrent use.
type toolLog struct {
	*console.Console
	line []byte
}

// maxToolLine bounds a line of a tool, in bytes: longer ones are shown in parts.
const maxToolLine = 64 << 10

// Write prints the lines that are complete.
func (l *toolLog) Write(p []byte) (int, error) {
	l.line = append(l.line, p...)
	for {
		line, after, complete := bytes.Cut(l.line, []byte("\n"))
		if !complete {
			break
		}
		l.Note("%s\n", console.Lines(line))
		l.line = after
	}
	if len(l.line) > maxToolLine {
		l.flush()
	}
	return len(p), nil
}

// flush prints a line without an end.
func (l *toolLog) flush() {
	if len(l.line) > 0 {
		l.Note("%s\n", console.Lines(l.line))
		l.line = nil
	}
}
