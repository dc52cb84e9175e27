package config

import (
	"errors"
	"io/fs"

	"github.com/berth-host/berth/host/fault"
)

// Preview makes an edit without writing the file. It returns the text of the file, nil
// when there is none, and the text after the edit; they are equal when the edit would
// not write the file.
func (e *Editor) Preview(edit func(*Editor) error) (before, after []byte, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	before, err = Read(e.path)
	if errors.Is(err, fs.ErrNotExist) {
		before, err = nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	after = before
	err = edit(&Editor{path: e.path, last: e.last, replace: func(_ string, old, text []byte) error {
		before, after = old, text
		return nil
	}})
	return before, after, err
}

// Restore replaces the text after, from Preview, by the text before, and returns the
// configuration of before. It does nothing when the file holds before already, and
// returns fault.Conflict when the file holds neither.
func (e *Editor) Restore(before, after []byte) (*Config, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now, err := Read(e.path)
	if err != nil {
		return nil, err
	}
	c, err := Parse(e.path, before)
	if err != nil {
		return nil, err
	}
	switch string(now) {
	case string(before):
		return c, nil
	case string(after):
		err := e.replace(e.path, now, before)
		if err == nil {
			e.edits.Add(1)
		}
		return c, err
	}
	return nil, fault.New(fault.Conflict, "%s was changed by another writer", e.path)
}
