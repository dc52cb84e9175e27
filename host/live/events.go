package live

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/config/document"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/eventtypes"
	"github.com/berth-host/berth/host/plugin/schema"
	"github.com/berth-host/berth/host/route"
	"github.com/berth-host/berth/host/schedules"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// maxSchema bounds the file of a schema, in bytes.
const maxSchema = 64 << 10

// compiledEvents are the event types and schedules of a configuration.
type compiledEvents struct {
	list      []spec.EventType // with the schemas of files
	types     *eventtypes.Table
	schedules []schedules.Timed
}

// EventTypes returns the event types in force.
func (l *Live) EventTypes() *eventtypes.Table { return l.now.Load().events.types }

// Schedules returns the schedules in force.
func (l *Live) Schedules() []schedules.Timed { return l.now.Load().events.schedules }

// Subscribers returns the active plugins whose manifests subscribe to a type, if its route
// lets them have its events. Conditions do not count.
func (l *Live) Subscribers(typ event.Type) (names []string) {
	taking, found := l.Table().Route(typ)
	if !found {
		return nil
	}
	plugins := *l.plugins.Load()
	for _, p := range plugins.List() {
		manifest, known := plugins.Manifest(p.Name)
		if p.State != wire.Active && p.State != wire.Standby || !known || taking.Handlers != nil && !slices.Contains(taking.Handlers, p.Name) || slices.Contains(taking.Exclude, p.Name) {
			continue
		}
		if filter, err := route.FilterOf(p.Name, manifest); err == nil && filter.Subscribes(typ) {
			names = append(names, p.Name)
		}
	}
	return names
}

// compileEvents compiles the event types and schedules, or returns the problems. The data of
// schedules is not checked any more once ended returns an error.
func compileEvents(ended func() error, path string, c *config.Config) (n *compiledEvents, problems []document.Problem) {
	n = &compiledEvents{list: slices.Clone(c.EventTypes)}
	fail := func(t spec.EventType, reason string) {
		problems = append(problems, document.Problem{File: path, Line: t.Line, Path: "event_types." + t.Type + ".schema", Reason: reason})
	}
	for i, t := range n.list {
		if t.File == "" {
			continue
		}
		text, err := readSchema(t.File)
		if err != nil {
			fail(t, err.Error())
			continue
		}
		n.list[i].Schema = text
	}
	types, wrong := eventtypes.Compile(n.list, compileSchema)
	for _, p := range wrong {
		t := n.list[p.Index]
		if t.File != "" {
			p.Reason = t.File + ": " + p.Reason
		}
		fail(t, p.Reason)
	}
	n.types = types
	check := func(*event.Event) error { return nil } // schedules without valid types: their data is checked with these
	if types != nil {
		check = func(ev *event.Event) error {
			if err := ended(); err != nil {
				return err
			}
			return types.Check(ev)
		}
	}
	timed, misfits := schedules.Compile(c.Schedules, check)
	n.schedules = timed
	for _, p := range misfits {
		s := c.Schedules[p.Index]
		setting := "schedules." + s.Name
		if p.Field != "" {
			setting += "." + p.Field
		}
		problems = append(problems, document.Problem{File: path, Line: s.Line, Path: setting, Reason: p.Reason})
	}
	return n, problems
}

// readSchema reads the file of a schema. It is never nil without an error.
func readSchema(path string) ([]byte, error) {
	info, err := os.Stat(path) // before Open, which would block on a named pipe
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read the schema: %s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSchema+1))
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	if len(text) > maxSchema {
		return nil, fmt.Errorf("%s is over %d bytes, which is the limit", path, maxSchema)
	}
	return text, nil
}

// upToDate reports whether the files of the schemas are as they were read.
func (n *compiledEvents) upToDate() bool {
	for _, t := range n.list {
		if t.File == "" {
			continue
		}
		if text, err := readSchema(t.File); err != nil || !bytes.Equal(text, t.Schema) {
			return false
		}
	}
	return true
}

// changedFiles returns the types whose schema is of the same file as before, with another
// content.
func (n *compiledEvents) changedFiles(before *compiledEvents) (types []string) {
	files := make(map[string]spec.EventType, len(before.list))
	for _, t := range before.list {
		files[t.Type] = t
	}
	for _, t := range n.list {
		if was := files[t.Type]; t.File != "" && t.File == was.File && !bytes.Equal(t.Schema, was.Schema) {
			types = append(types, t.Type)
		}
	}
	return types
}

// eventSchema is a compiled schema for package eventtypes.
type eventSchema struct{ compiled *schema.Schema }

func compileSchema(text []byte) (eventtypes.Schema, error) {
	compiled, err := schema.Compile(text)
	if err != nil {
		return nil, err
	}
	return eventSchema{compiled}, nil
}

// Check implements eventtypes.Schema.
func (s eventSchema) Check(data string) (pointer, reason string, work int) {
	work, err := s.compiled.CheckEvent([]byte(data))
	var wrong *schema.Error
	switch {
	case err == nil:
		return "", "", work
	case !errors.As(err, &wrong) || len(wrong.Violations) == 0:
		return "", err.Error(), work
	}
	first := wrong.Violations[0]
	reason = first.Reason
	if more := len(wrong.Violations) - 1 + wrong.More; more > 0 {
		reason = fmt.Sprintf("%s (and %d more)", reason, more)
	}
	return first.Pointer, reason, work
}
