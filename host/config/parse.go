package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/berth-host/berth/host/fault"
)

// MaxSize bounds a configuration file, in bytes.
const MaxSize = 1 << 20

// Load reads and parses the file. A file that does not exist is fault.NotFound
// (and fs.ErrNotExist), one that cannot be read fault.Unavailable, one that is
// wrong fault.Invalid (see Error).
func Load(path string) (*Config, error) {
	data, err := Read(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// Read returns the text of the file, for Parse. Its errors are Load's.
func Read(path string) ([]byte, error) { return readFile(path) }

func readFile(path string) ([]byte, error) {
	stat, err := os.Stat(path) // before Open, which waits for ever on a named pipe
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "read the configuration: %w", err)
	}
	if err != nil {
		return nil, fault.New(fault.Unavailable, "read the configuration: %w", err)
	}
	if !stat.Mode().IsRegular() {
		return nil, NewError(Problem{File: path, Line: 1, Reason: "is not a regular file"})
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "read the configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1)) // Parse refuses the byte too many
	if err != nil {
		return nil, fault.New(fault.Unavailable, "read the configuration: %w", err)
	}
	return data, nil
}

// Parse reads a whole configuration. The name is how errors call the file. All
// problems are reported at once, as a fault.Invalid that wraps an *Error; only
// text that is not YAML at all stops at its first.
func Parse(name string, data []byte) (*Config, error) {
	root, err := parseYAML(name, data)
	if err != nil {
		return nil, err
	}
	d := &decoder{file: name, budget: maxExpansion}
	c := Default()
	if root != nil {
		configTable(c).read(d.at(root, nil, ""))
	}
	if len(d.problems) > 0 {
		return nil, NewError(d.problems...)
	}
	return c, nil
}

// parseYAML returns the root of the only document, or nil when there is none.
// Aliases stay nodes: nothing is expanded here.
func parseYAML(name string, data []byte) (*yaml.Node, error) {
	fail := func(line int, format string, args ...any) error {
		return NewError(Problem{File: name, Line: line, Reason: fmt.Sprintf(format, args...)})
	}
	if len(data) > MaxSize {
		return nil, fail(1, "is over %d bytes, which is the limit", MaxSize)
	}
	if at := invalidUTF8(data); at >= 0 {
		return nil, fail(1+bytes.Count(data[:at], []byte{'\n'}), "malformed YAML: not valid UTF-8")
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, fail(malformedLine(data, err), "malformed YAML: %s", malformedReason(err))
	}
	var second yaml.Node
	switch err := dec.Decode(&second); {
	case err == nil:
		return nil, fail(second.Line, "a second YAML document starts here; the file must hold one")
	case !errors.Is(err, io.EOF):
		return nil, fail(malformedLine(data, err), "malformed YAML: %s", malformedReason(err))
	}
	return doc.Content[0], nil
}

func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size <= 1 {
			return i
		}
		i += size
	}
	return -1
}

// malformedLine finds the line at which the YAML parser gives up. Its own line
// numbers are of the surrounding block, or one off, or absent; but it reads
// from front to back, so the shortest run of lines that fails the same way
// ends with the culprit.
func malformedLine(data []byte, err error) int {
	lines := bytes.SplitAfter(data, []byte{'\n'})
	ends := make([]int, len(lines))
	n := 0
	for i, line := range lines {
		n += len(line)
		ends[i] = n
	}
	return 1 + sort.Search(len(lines)-1, func(i int) bool {
		dec := yaml.NewDecoder(bytes.NewReader(data[:ends[i]]))
		for {
			var doc yaml.Node
			if got := dec.Decode(&doc); got != nil {
				return got.Error() == err.Error()
			}
		}
	})
}

var yamlPrefix = regexp.MustCompile(`^yaml: (line \d+: )?`)

func malformedReason(err error) string {
	reason := yamlPrefix.ReplaceAllString(err.Error(), "")
	switch {
	case strings.Contains(reason, "did not find expected alphabetic or numeric character"):
		reason += ` (a word that starts with * or & must be quoted: "*")`
	case strings.Contains(reason, "cannot start any token"):
		reason += " (indent with spaces, and quote text that starts with a special character)"
	}
	return reason
}
