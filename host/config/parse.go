package config

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/berth-host/berth/host/config/document"
	"github.com/berth-host/berth/host/fault"
)

// Load reads and parses the file. Errors are fault.NotFound (and fs.ErrNotExist) for a
// missing file, fault.Unavailable for an unreadable one, and those of Parse.
func Load(path string) (*Config, error) {
	data, err := Read(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// Read returns the text of the file, for Parse. Its errors are those of Load.
func Read(path string) ([]byte, error) {
	stat, err := os.Stat(path) // before Open, which would block on a named pipe
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
	data, err := io.ReadAll(io.LimitReader(f, document.MaxSize+1)) // Parse refuses a larger text
	if err != nil {
		return nil, fault.New(fault.Unavailable, "read the configuration: %w", err)
	}
	return data, nil
}

// Parse reads a whole configuration. Errors call the file by name. All problems are
// reported at once, as a fault.Invalid that wraps a *document.Error; a malformed text has
// one problem.
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
	return document.NewError(document.Problem{File: path, Line: 1,
		Reason: "the file is missing; the configuration read before stays in force until it exists again"})
}
