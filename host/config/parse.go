package config

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/berth-host/berth/host/config/document"
	"github.com/berth-host/berth/host/fault"
)

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
func Read(path string) ([]byte, error) {
	stat, err := os.Stat(path) // before Open, which waits for ever on a named pipe
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "read the configuration: %w", err)
	}
	if err != nil {
		return nil, fault.New(fault.Unavailable, "read the configuration: %w", err)
	}
	if !stat.Mode().IsRegular() {
		return nil, document.NewError(document.Problem{File: path, Line: 1, Reason: "is not a regular file"})
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "read the configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, document.MaxSize+1)) // Parse refuses the byte too many
	if err != nil {
		return nil, fault.New(fault.Unavailable, "read the configuration: %w", err)
	}
	return data, nil
}

// Parse reads a whole configuration. The name is how errors call the file. All
// problems are reported at once, as a fault.Invalid that wraps an *Error; only
// text that is not YAML at all stops at its first.
func Parse(name string, data []byte) (*Config, error) {
	doc, err := document.Parse(name, data)
	if err != nil {
		return nil, err
	}
	c := Default()
	configTable(c).read(doc.Root())
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return c, nil
}

// Gone returns the error about a file that does not exist any more.
func Gone(path string) error {
	return document.NewError(document.Problem{File: path, Line: 1, Reason: "the file is gone; what was read from it stays in force until it is back"})
}
