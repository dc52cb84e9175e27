package toolchain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// stopAfter is how long a tool that was interrupted may take to end.
const stopAfter = 5 * time.Second

// Build is one build of a project.
type Build struct {
	Dir    string    // of the project, absolute
	Name   string    // of the plugin
	Output string    // path of the module to write, absolute; it ends in .wasm
	Env    []string  // variables of the tools besides those of this process, NAME=value
	Log    io.Writer // what the tools print

	tools map[string]string // paths by the names of the tools
}

// ToolError is a tool's failure. What the tool printed is in the build's log.
type ToolError struct {
	Tool string // its name, as in Tool
	Err  error
}

// Error names the tool and how it ended.
func (e *ToolError) Error() string { return fmt.Sprintf("%s failed (%v)", e.Tool, e.Err) }

// Unwrap returns the tool's error.
func (e *ToolError) Unwrap() error { return e.Err }

// Tool returns the path of a tool of the language.
func (b *Build) Tool(name string) string { return b.tools[name] }

// Run runs a tool of the language, by its name, in the project's directory.
func (b *Build) Run(ctx context.Context, tool string, args ...string) error {
	return b.RunIn(ctx, b.Dir, tool, args...)
}

// RunIn is Run in another directory. A tool that still runs when ctx ends is interrupted
// with all its children, and killed if it does not end in time. Its errors are those of ctx
// and *ToolError.
func (b *Build) RunIn(ctx context.Context, dir, tool string, args ...string) error {
	path := b.tools[tool]
	if path == "" {
		return fmt.Errorf("%q is not among the tools of the language", tool)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, b.Log, b.Log
	cmd.Env = append(os.Environ(), "PWD="+dir)
	cmd.Env = append(cmd.Env, b.Env...) // the last value of a variable counts
	// Compilers start further processes: the group has them all.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = stopAfter
	err := cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // fails when all have ended
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return &ToolError{Tool: tool, Err: err}
}

// sources returns the files of the project's directory that fit one of these patterns, as
// those of filepath.Glob, relative to it and sorted.
func (b *Build) sources(patterns ...string) ([]string, error) {
	var names []string
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(b.Dir, filepath.FromSlash(pattern)))
		if err != nil {
			return nil, err
		}
		for _, path := range found {
			name, err := filepath.Rel(b.Dir, path)
			if err != nil {
				return nil, err
			}
			names = append(names, name)
		}
	}
	if names == nil {
		return nil, fmt.Errorf("%s has no file %s", b.Dir, strings.Join(patterns, " or "))
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// WriteFile writes a file completely, or not at all: it is on the disk before it replaces a
// former one. The name of the file while it is written is one that no watched directory
// takes for a module.
func WriteFile(path string, contents []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(contents)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
