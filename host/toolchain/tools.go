package toolchain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"
)

// colours are the escape sequences that a tool such as Maven prints into a pipe as well.
var colours = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// versionTimeout bounds the time in which a tool prints its version.
const versionTimeout = 20 * time.Second

// MissingError says which tools of a language are not installed, and how to install them.
type MissingError struct {
	Language Language
	Tools    []Tool // at least one
}

// Error names the missing tools with the command that installs each.
func (e *MissingError) Error() string {
	var lines []string
	for i, tool := range e.Tools {
		if slices.ContainsFunc(e.Tools[:i], func(t Tool) bool { return t.Install == tool.Install }) {
			continue // it was named with the first
		}
		var names []string
		for _, t := range e.Tools[i:] {
			if t.Install == tool.Install {
				names = append(names, t.Name)
			}
		}
		verb := "is"
		if len(names) > 1 {
			verb = "are"
		}
		lines = append(lines, fmt.Sprintf("%s %s missing; install it with: %s", strings.Join(names, " and "), verb, tool.Install))
	}
	return strings.Join(lines, "\n")
}

// Find returns the paths of a language's tools by their names. Its error is a *MissingError.
func (l Language) Find() (map[string]string, error) {
	found := make(map[string]string, len(l.Tools))
	var missing []Tool
	for _, tool := range l.Tools {
		if path := tool.find(); path != "" {
			found[tool.Name] = path
		} else {
			missing = append(missing, tool)
		}
	}
	if missing != nil {
		return nil, &MissingError{Language: l, Tools: missing}
	}
	return found, nil
}

// find returns the path of a tool, "" if it is not installed.
func (t Tool) find() string {
	for _, command := range t.Commands {
		if path, err := exec.LookPath(command); err == nil {
			return path
		}
	}
	for _, path := range t.Files {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// ToolVersion is a tool of a build and the version that it printed.
type ToolVersion struct {
	Name    string `json:"name"`
	Version string `json:"version"` // the first line of what it printed; "" for files
}

// Versions asks a language's tools for their versions.
func (l Language) Versions(ctx context.Context) ([]ToolVersion, error) {
	found, err := l.Find()
	if err != nil {
		return nil, err
	}
	versions := []ToolVersion{}
	for _, tool := range l.Tools {
		v := ToolVersion{Name: tool.Name}
		if tool.Version != nil {
			if v.Version, err = version(ctx, found[tool.Name], tool.Version); err != nil {
				return nil, fmt.Errorf("ask %s for its version: %w", tool.Name, err)
			}
		}
		versions = append(versions, v)
	}
	return versions, nil
}

func version(ctx context.Context, path string, args []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return strings.TrimSpace(colours.ReplaceAllString(first, "")), err
}
