package config

import (
	"context"
	"regexp"
	"time"

	"github.com/berth-host/berth/host/config/file"
)

// Recover puts back the former text of a configuration whose editing in place a crash
// has interrupted (see file.Recover), and reports whether there was anything to put
// back. The copy lies in the data directory: dataDir, or else the one that the file
// names as far as it can be read, or the usual one.
func Recover(path, dataDir string) (bool, error) {
	dirs := []string{dataDir}
	if dataDir == "" {
		dirs = []string{Default().DataDir}
		if text, err := Read(path); err == nil {
			for _, m := range dataDirLine.FindAllSubmatch(text, -1) {
				dirs = append(dirs, string(m[1]))
			}
			if c, err := Parse(path, text); err == nil {
				dirs = append(dirs, c.DataDir)
			}
		}
	}
	return file.Recover(path, dirs...)
}

// dataDirLine finds data_dir in a text that may be none of YAML's any more.
var dataDirLine = regexp.MustCompile(`(?m)data_dir["']?:[ \t]*["']?([^"'\s#]+)`)

// The ways in which a file can be edited; see file.Probe.
const (
	ByRename    = file.ByRename
	ByOverwrite = file.ByOverwrite
)

// Probe finds out how an Editor with this data directory could edit a file; see
// file.Probe.
func Probe(path, dataDir string) (way file.Way, reason error) { return file.Probe(path, dataDir) }

// ProbeWatch watches a file or directory for a moment, and returns why that fails.
func ProbeWatch(path string) error { return file.ProbeWatch(path) }

// Watch calls fn once when it has begun to watch, so that nothing is missed
// between a Load and a Watch, and then whenever the file's content has changed
// and nothing more has happened for debounce. It returns when ctx ends. edits is
// Editor.Edits of the file, or nil. notice is told
// when the system refuses to watch, and with nil when it does again. See file.Watch.
func Watch(ctx context.Context, path string, debounce time.Duration, edits func() uint64, notice func(error), fn func()) {
	file.Watch(ctx, path, debounce, edits, notice, fn)
}
