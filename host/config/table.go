package config

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/berth-host/berth/host/config/document"
)

// kind is a type of values: how they are read from YAML and written as text.
type kind[T any] struct {
	read  func(document.Value) T
	text  func(T) string // as the file could hold it
	about func() about
}

// about is what the documentation and the editors' schema say of a kind.
type about struct {
	label  string // the type and its bounds
	schema object // a JSON Schema, without that of parts
	parts  []field
	key    string // what the keys stand for, in a mapping whose keys are names
}

// object is a JSON object.
type object = map[string]any

// field is one setting of a configuration or a part of one. The tables of fields are
// the only list of settings: Parse reads them, Diff compares them, Settings shows
// them, Resolve applies them, and the documentation and the editors' schema are
// generated from them.
type field struct {
	path    string // of keys, from the mapping that the table is of
	doc     string
	restart bool // it is read only when the host starts
	about   func() about
	read    func(document.Value)
	state   func() state
	each    func(emit func(path string, s state)) // instead of state: several settings
}

// state is a setting as it is.
type state struct {
	text   string // as the file holds it; "" where the file does not set it
	shown  string // the value in force; "" for none
	secret bool   // text is not for everyone
}

// table is the settings of a value that it is bound to.
type table struct {
	fields []field
	checks []check
}

// check is a rule about several fields of the mapping at path. keys are the values in it.
type check struct {
	path string // "" for the table's own mapping
	run  func(v document.Value, keys map[string]document.Value)
}

// setting returns a field that always has a value.
func setting[T any](path string, k kind[T], p *T, doc string) field {
	return field{path: path, doc: doc, about: k.about, read: func(v document.Value) { *p = k.read(v) }, state: func() state {
		text := k.text(*p)
		return state{text: text, shown: text}
	}}
}

// optional returns a field that is nil where the file does not set it.
func optional[T any](path string, k kind[T], p **T, doc string) field {
	return field{path: path, doc: doc, about: k.about, read: func(v document.Value) { *p = new(k.read(v)) }, state: func() state {
		if *p == nil {
			return state{}
		}
		return state{text: k.text(**p), shown: k.text(**p)}
	}}
}

// atStart marks a field as one that is read only when the host starts.
func (f field) atStart() field {
	f.restart = true
	return f
}

// unset takes this text for a setting that the file does not have.
func (f field) unset(text string) field {
	return f.with(func(s *state) {
		if s.text == text {
			s.text = ""
		}
	})
}

// zero shows these words for the value 0.
func (f field) zero(words string) field {
	return f.with(func(s *state) {
		if s.shown == "0" {
			s.shown = words
		}
	})
}

// with changes the state of a field.
func (f field) with(change func(*state)) field {
	of := f.state
	f.state = func() state {
		s := of()
		change(&s)
		return s
	}
	return f
}

// add adds another table below a prefix, "" or one that ends with a dot.
func (t *table) add(prefix string, other table) {
	for _, f := range other.fields {
		f.path = prefix + f.path
		t.fields = append(t.fields, f)
	}
	for _, c := range other.checks {
		c.path = strings.TrimSuffix(prefix+c.path, ".")
		t.checks = append(t.checks, c)
	}
}

// read reads a mapping, and returns its values by key.
func (t table) read(v document.Value) map[string]document.Value { return t.readBelow(v, "") }

func (t table) readBelow(v document.Value, path string) map[string]document.Value {
	keys := v.Fields(func(key string, v document.Value) bool {
		for _, f := range t.fields {
			tail, below := strings.CutPrefix(f.path, path)
			dotted, found := strings.CutPrefix(tail, key)
			switch {
			case !below || !found || dotted != "" && dotted[0] != '.':
				continue
			case v.IsNull():
			case dotted == "":
				f.read(v)
			default:
				t.readBelow(v, path+key+".")
			}
			return true
		}
		return false
	}, func() (names []string) {
		for _, f := range t.fields {
			if tail, below := strings.CutPrefix(f.path, path); below {
				key, _, _ := strings.Cut(tail, ".")
				names = append(names, key)
			}
		}
		return names
	})
	for _, c := range t.checks {
		if c.path == strings.TrimSuffix(path, ".") {
			c.run(v, keys)
		}
	}
	return keys
}

// states returns the settings by path.
func (t table) states() map[string]state {
	m := make(map[string]state)
	for _, f := range t.fields {
		if f.each != nil {
			f.each(func(path string, s state) { m[path] = s })
		} else if s := f.state(); s != (state{}) {
			m[f.path] = s
		}
	}
	return m
}

// objectKind is a mapping that is one setting.
func objectKind[T any](bind func(*T) table) kind[T] {
	return kind[T]{text: jsonText[T], about: func() about { return about{parts: bind(new(T)).fields} }, read: func(v document.Value) (t T) {
		bind(&t).read(v)
		return t
	}}
}

// jsonKind is a mapping that is kept as JSON.
func jsonKind() kind[json.RawMessage] {
	return kind[json.RawMessage]{document.Value.Object, jsonText[json.RawMessage], func() about {
		return about{label: "mapping", schema: object{"type": "object"}}
	}}
}

// jsonText writes a value as JSON, which YAML takes as well.
func jsonText[T any](v T) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // the kinds of settings always encode
	}
	return string(b)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
