// Package overlay has the decisions about handlers that hosts of a cluster share. They come
// by the API of one host, are kept as shared documents of the kind Kind, and count more than
// the file of each host for the keys that they set.
package overlay

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// Kind is the kind of the shared documents; their id is the handler's name.
const Kind = "setting"

// Section is what was decided about one handler. A nil field is not decided.
type Section struct {
	Enabled *bool           `json:"enabled,omitempty"`
	Paused  *bool           `json:"paused,omitempty"`
	Grants  *[]spec.Grant   `json:"grants,omitempty"`
	Config  json.RawMessage `json:"config,omitempty"` // a JSON object
}

// keys are the settings that are decided, as YAML by key.
func (s Section) keys() map[string]string {
	m := make(map[string]string)
	if s.Enabled != nil {
		m["enabled"] = strconv.FormatBool(*s.Enabled)
	}
	if s.Paused != nil {
		m["paused"] = strconv.FormatBool(*s.Paused)
	}
	if s.Grants != nil {
		m["grants"] = config.GrantsText(*s.Grants)
	}
	if s.Config != nil {
		m["config"] = config.FlowText(s.Config)
	}
	return m
}

// normalised returns the section as the parser of the file reads it, or its problems as
// fault.Invalid.
func (s Section) normalised(name string) (Section, error) {
	var parts []string
	keys := s.keys()
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		parts = append(parts, key+": "+keys[key])
	}
	c, err := config.Parse("the decisions about "+name, []byte("handlers: {x: {"+strings.Join(parts, ", ")+"}}"))
	if err != nil {
		return s, err
	}
	if s.Grants != nil {
		grants := slices.Clone(c.Handlers["x"].Grants)
		s.Grants = &grants
	}
	return s, nil
}

// Overlay is the decisions about all handlers. Its methods but On are safe for concurrent
// use; nil is an overlay without decisions.
type Overlay struct {
	sections  map[string]Section
	revisions map[string]uint64 // of the documents, by the handler's name

	base, on *config.Config // of the last call of On
}

// New returns the overlay of the shared documents. A document that cannot be read is an
// error that names it, beside the overlay of the others.
func New(list []spec.SharedDocument) (*Overlay, error) {
	o := &Overlay{sections: make(map[string]Section), revisions: make(map[string]uint64)}
	var broken []string
	for _, d := range list {
		var s Section
		dec := json.NewDecoder(bytes.NewReader(d.Body))
		dec.DisallowUnknownFields()
		err := dec.Decode(&s)
		if err == nil {
			s, err = s.normalised(d.ID)
		}
		o.revisions[d.ID] = d.Revision
		if err != nil {
			broken = append(broken, fmt.Sprintf("%s (%v)", d.ID, err))
			continue
		}
		o.sections[d.ID] = s
	}
	if broken != nil {
		return o, fault.New(fault.Invalid, "the database has decisions about handlers that this host cannot read, and skips: %s; "+
			"a newer host wrote them, or decide again with berth plugin enable, pause or approve", strings.Join(broken, "; "))
	}
	return o, nil
}

// Same reports whether two overlays are of the same revisions of the same documents.
func (o *Overlay) Same(other *Overlay) bool {
	return o != nil && other != nil && maps.Equal(o.revisions, other.revisions)
}

// Section returns what was decided about a handler.
func (o *Overlay) Section(name string) Section {
	if o == nil {
		return Section{}
	}
	return o.sections[name]
}

// Names returns the handlers with decisions, also unreadable ones, ascending.
func (o *Overlay) Names() []string {
	if o == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(o.revisions))
}

// With returns an overlay with another section for a handler, and the document that stores
// it. A section without decisions removes the document. Invalid grants are fault.Invalid.
func (o *Overlay) With(name string, s Section) (*Overlay, spec.SharedDocument, error) {
	d := spec.SharedDocument{Kind: Kind, ID: name, Revision: o.revisions[name]}
	next := &Overlay{sections: maps.Clone(o.sections), revisions: maps.Clone(o.revisions)}
	if len(s.keys()) == 0 {
		delete(next.sections, name)
		delete(next.revisions, name)
		return next, d, nil
	}
	s, err := s.normalised(name)
	if err != nil {
		return nil, d, err
	}
	if d.Body, err = json.Marshal(s); err != nil {
		return nil, d, fault.New(fault.Internal, "write the decisions about %s: %w", name, err)
	}
	next.sections[name] = s
	return next, d, nil
}

// Stored records the revision of a document that With returned, once it is stored.
func (o *Overlay) Stored(d spec.SharedDocument, revision uint64) {
	if d.Body != nil {
		o.revisions[d.ID] = revision
	}
}

// On returns a configuration with the decisions in place of what the file says. The same
// configuration gives the same result. Calls must not be concurrent.
func (o *Overlay) On(c *config.Config) *config.Config {
	if o == nil || len(o.sections) == 0 {
		return c
	}
	if c == o.base {
		return o.on
	}
	on := *c
	on.Handlers = maps.Clone(c.Handlers)
	for name, s := range o.sections {
		h, found := on.Handlers[name]
		if !found {
			h.Config = json.RawMessage("{}")
		}
		if s.Enabled != nil {
			h.Enabled = s.Enabled
		}
		if s.Paused != nil {
			h.Paused = *s.Paused
		}
		if s.Grants != nil {
			h.Grants = *s.Grants
		}
		if s.Config != nil {
			h.Config = s.Config
		}
		on.Handlers[name] = h
	}
	o.base, o.on = c, &on
	return o.on
}

// Decides reports whether a setting, such as handlers.fraud-check.paused, comes from here.
func (o *Overlay) Decides(path string) bool {
	if o == nil {
		return false
	}
	tail, ok := strings.CutPrefix(path, "handlers.")
	name, key, _ := strings.Cut(tail, ".")
	_, decided := o.sections[name].keys()[key]
	return ok && decided
}

// YAML returns the decisions as the file could hold them; "" without any.
func (o *Overlay) YAML() string {
	if o == nil || len(o.sections) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("handlers:\n")
	order := []string{"enabled", "paused", "grants", "config"}
	for _, name := range slices.Sorted(maps.Keys(o.sections)) {
		fmt.Fprintf(&b, "  %s:\n", keyText(name))
		keys := o.sections[name].keys()
		for _, key := range slices.SortedFunc(maps.Keys(keys), func(x, y string) int {
			return cmp.Compare(slices.Index(order, x), slices.Index(order, y))
		}) {
			fmt.Fprintf(&b, "    %s: %s\n", key, keys[key])
		}
	}
	return b.String()
}

// keyText writes a handler's name as a key that YAML reads as a text.
func keyText(name string) string {
	words := []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
	if name[0] >= 'a' && name[0] <= 'z' && !slices.Contains(words, name) {
		return name
	}
	return strconv.Quote(name)
}
