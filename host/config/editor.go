package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/config/file"
	"github.com/berth-host/berth/host/config/splice"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// Editor changes single settings of one file, for an API whose changes must
// outlive the host. All other bytes of the file are preserved.
//
// An edit is made in memory, parsed, and written only if the new text differs in
// meaning from the old one by that change alone. The file is replaced by rename,
// fsynced, with its mode: readers see the old text or the new one. A symbolic link is
// kept, and its target replaced. Other processes that edit the file wait (see
// file.Lock). When another program saves the file during an edit, the edit starts again
// with the saved text. Errors are fault.Invalid (the file is not valid), fault.Conflict
// (the file cannot be edited safely, or keeps changing; the text says what to do) and
// fault.Unavailable (the disk fails). It is safe for concurrent use; make one Editor
// for a file.
type Editor struct {
	// Check refuses configurations for reasons that only other parts know, such as a
	// condition that does not compile; they are not written. nil refuses none. Set it
	// before the first edit.
	Check func(*Config) error

	path     string
	expected atomic.Bool // see Expect
	edits    atomic.Uint64
	mu       sync.Mutex // one edit or read at a time
	last     parsed     // the text parsed last
	replace  func(path string, old, data []byte) error
}

// NewEditor returns the editor of a file, which need not exist yet.
func NewEditor(path string) *Editor { return &Editor{path: path, replace: file.Replacer{}.Replace} }

// KeepCopies sets the directory for the copy of a file that can only be overwritten
// (see file.Replacer.Copies). Call it before the first edit.
func (e *Editor) KeepCopies(dir string) { e.replace = file.Replacer{Copies: dir}.Replace }

// Expect marks the file as one that existed: when it is missing, edits fail instead of
// creating it, because its other settings would be lost. An edit that has read or
// written the file marks it too.
func (e *Editor) Expect() { e.expected.Store(true) }

// Edits counts the edits that have written the file.
func (e *Editor) Edits() uint64 { return e.edits.Load() }

// parsed is a text with its configuration.
type parsed struct {
	text   []byte
	config *Config
}

// Read returns the configuration and the text of the file. A text equal to the one
// parsed last is not parsed again: the configuration is then the same pointer. Errors
// are those of Load.
func (e *Editor) Read() (*Config, []byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	text, err := Read(e.path)
	if err != nil {
		return nil, nil, err
	}
	c, err := e.parse(text)
	return c, text, err
}

// parse parses a text of the file, unless it is the one parsed last. It requires e.mu.
func (e *Editor) parse(text []byte) (*Config, error) {
	if e.last.config != nil && bytes.Equal(e.last.text, text) {
		return e.last.config, nil
	}
	c, err := Parse(e.path, text)
	if err == nil {
		e.last = parsed{text, c}
	}
	return c, err
}

// Expecting reports whether the file has existed; see Expect.
func (e *Editor) Expecting() bool { return e.expected.Load() }

// SetHandlerEnabled writes handlers.<name>.enabled and returns the new configuration.
// It does not write the file when the setting has the value already.
func (e *Editor) SetHandlerEnabled(name string, enabled bool) (*Config, error) {
	return e.edit(name, "enabled", func(c *Config) {
		h := c.handler(name)
		h.Enabled = &enabled
		c.Handlers[name] = h
	}, func(src []byte) ([][]byte, error) {
		return splice.Set(src, []string{"handlers", name, "enabled"}, strconv.FormatBool(enabled))
	}, nil)
}

// SetHandlerPaused writes handlers.<name>.paused, likewise. It does not write false
// where the setting is missing.
func (e *Editor) SetHandlerPaused(name string, paused bool) (*Config, error) {
	return e.edit(name, "paused", func(c *Config) {
		h := c.handler(name)
		if h.Paused == paused {
			return
		}
		h.Paused = paused
		c.Handlers[name] = h
	}, func(src []byte) ([][]byte, error) {
		return splice.Set(src, []string{"handlers", name, "paused"}, strconv.FormatBool(paused))
	}, nil)
}

// setIn sets a key in each of the texts. It fails when it fails in all of them.
func setIn(texts [][]byte, path []string, value string) ([][]byte, error) {
	var with [][]byte
	var errs error
	for _, text := range texts {
		more, err := splice.Set(text, path, value)
		with, errs = append(with, more...), errors.Join(errs, err)
	}
	if len(with) > 0 {
		return with, nil
	}
	return nil, errs
}

// SetHandlerGrants replaces handlers.<name>.grants, with the comments inside it, and
// returns the new configuration. Invalid grants are fault.Invalid.
func (e *Editor) SetHandlerGrants(name string, grants []spec.Grant) (*Config, error) {
	value := GrantsText(grants)
	alone, err := Parse("grants of "+name, []byte("handlers: {x: {grants: "+value+"}}"))
	if err != nil {
		return nil, err
	}
	path := []string{"handlers", name, "grants"}
	return e.edit(name, "grants", func(c *Config) {
		h := c.handler(name)
		h.Grants = alone.Handlers["x"].Grants
		c.Handlers[name] = h
	}, func(src []byte) ([][]byte, error) {
		without, err := splice.Remove(src, path)
		if err != nil {
			return nil, err
		}
		return setIn(without, path, value)
	}, nil)
}

// RemoveHandler removes handlers.<name>, with the comments inside it, and returns the
// new configuration. It does not change routes that name the handler.
func (e *Editor) RemoveHandler(name string) (*Config, error) {
	return e.edit(name, "", func(c *Config) {
		delete(c.Handlers, name)
	}, func(src []byte) ([][]byte, error) {
		return splice.Remove(src, []string{"handlers", name})
	}, nil)
}

// handler returns the section of a handler, or an empty one.
func (c *Config) handler(name string) Handler {
	if h, ok := c.Handlers[name]; ok {
		return h
	}
	return *newHandler()
}

// The waits between attempts at an edit while the file keeps changing.
const (
	firstWait = 2 * time.Millisecond
	lastWait  = time.Second
)

// edit writes the first proposed text whose configuration equals the old one after change.
// check, unless nil, gets the text and its configuration before they are written, and
// refuses them by its error.
func (e *Editor) edit(name, key string, change func(*Config), propose func([]byte) ([][]byte, error),
	check func([]byte, *Config) error) (*Config, error) {
	if _, err := parseName(name); err != nil {
		return nil, fault.Field("name", "%v", err)
	}
	what := "handlers." + name
	if key != "" {
		what += "." + key
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	unlock, err := file.Lock(e.path)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var c *Config
	err = retry(func() error {
		if err := e.refuseWriters(); err != nil {
			return err
		}
		c, err = e.try(what, change, propose, check)
		return err
	})
	return c, err
}

// retry calls try again while it fails with file.ErrChanged, for about two seconds.
func retry(try func() error) error {
	for wait := firstWait; ; wait *= 2 {
		err := try()
		if !errors.Is(err, file.ErrChanged) || wait > lastWait {
			return err
		}
		time.Sleep(wait)
	}
}

// AwaitWriters waits until no process has the file open for writing, because a partly
// written configuration can be valid. It returns fault.Conflict when a writer keeps it
// open for as long as an edit would wait. Only Linux reports writers.
func (e *Editor) AwaitWriters() error { return retry(e.refuseWriters) }

func (e *Editor) refuseWriters() error {
	if file.BeingWritten(e.path) {
		return fault.New(fault.Conflict, "%s is open for writing; try again when it is closed (%w)", e.path, file.ErrChanged)
	}
	return nil
}

func (e *Editor) try(what string, change func(*Config), propose func([]byte) ([][]byte, error),
	check func([]byte, *Config) error) (*Config, error) {
	old, err := Read(e.path)
	switch {
	case err == nil:
		e.Expect()
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case e.Expecting():
		return nil, Gone(e.path)
	}
	before, err := e.parse(old)
	if err != nil {
		return nil, err
	}
	want := *before
	want.Handlers = maps.Clone(before.Handlers)
	change(&want)
	if same(before, &want) {
		return before, nil
	}
	texts, err := propose(old)
	if err != nil {
		return nil, fault.New(fault.Conflict, "edit %s in %s: %w", what, e.path, err)
	}
	for _, text := range texts {
		after, err := Parse(e.path, text)
		if err != nil || !same(after, &want) {
			continue
		}
		if e.Check != nil {
			if err := e.Check(after); err != nil {
				return nil, err
			}
		}
		if check != nil {
			if err := check(text, after); err != nil {
				return nil, err
			}
		}
		if err := e.replace(e.path, old, text); err != nil {
			if errors.Is(err, file.ErrReadOnly) {
				err = fault.New(fault.Conflict, "%w: nothing was changed; edit the file at its source, and reload. %s", err, difference(old, text))
			}
			return nil, err
		}
		e.Expect()
		e.edits.Add(1)
		e.last = parsed{text, after}
		return after, nil
	}
	return nil, fault.New(fault.Conflict, "edit %s in %s: cannot change it alone in a file of this layout; change it by hand", what, e.path)
}

// difference tells a person how to turn before into after.
func difference(before, after []byte) string {
	a, b := bytes.SplitAfter(before, []byte("\n")), bytes.SplitAfter(after, []byte("\n"))
	first := 0
	for first < min(len(a), len(b)) && bytes.Equal(a[first], b[first]) {
		first++
	}
	last := 0
	for last < min(len(a), len(b))-first && bytes.Equal(a[len(a)-1-last], b[len(b)-1-last]) {
		last++
	}
	from, to := first+1, len(a)-last // line numbers in before
	text := string(bytes.Join(b[first:len(b)-last], nil))
	switch {
	case text == "":
		return fmt.Sprintf("Remove lines %d to %d", from, to)
	case to < from:
		return fmt.Sprintf("Insert before line %d:\n%s", from, text)
	}
	return fmt.Sprintf("Replace lines %d to %d by:\n%s", from, to, text)
}

// same reports whether two configurations are equal apart from line numbers and the order
// of the keys in handlers' configs.
func same(a, b *Config) bool {
	x, y := *a, *b
	x.Handlers = withConfigsOf(a.Handlers, b.Handlers)
	x.Routes, y.Routes = withoutLines(a.Routes), withoutLines(b.Routes)
	x.Schedules, y.Schedules = schedulesWithoutLines(a.Schedules), schedulesWithoutLines(b.Schedules)
	x.EventTypes, y.EventTypes = typesWithoutLines(a.EventTypes), typesWithoutLines(b.EventTypes)
	return reflect.DeepEqual(x, y)
}

func withoutLines(routes []spec.Route) []spec.Route {
	routes = slices.Clone(routes)
	for i := range routes {
		routes[i].Line = 0
	}
	return routes
}

func schedulesWithoutLines(list []spec.Schedule) []spec.Schedule {
	list = slices.Clone(list)
	for i := range list {
		list[i].Line = 0
	}
	return list
}

func typesWithoutLines(list []spec.EventType) []spec.EventType {
	list = slices.Clone(list)
	for i := range list {
		list[i].Line = 0
	}
	return list
}

// GrantsText writes grants as YAML on one line.
func GrantsText(grants []spec.Grant) string {
	b := []byte{'['}
	lists := func(key string, texts []string) {
		if texts == nil {
			return
		}
		b = append(b, ", "+key+": ["...)
		for i, s := range texts {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = append(b, jsonText(s)...)
		}
		b = append(b, ']')
	}
	for i, g := range grants {
		if i > 0 {
			b = append(b, ", "...)
		}
		if g.Hosts == nil && g.EventTypes == nil && g.Names == nil {
			b = append(b, jsonText(g.Name)...)
			continue
		}
		b = append(b, "{name: "...)
		b = append(b, jsonText(g.Name)...)
		lists("hosts", g.Hosts)
		lists("event_types", g.EventTypes)
		lists("names", g.Names)
		b = append(b, '}')
	}
	return string(append(b, ']'))
}
