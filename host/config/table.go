package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// description is what the documentation and the editors' schema say of a setting.
type description struct {
	path    string // of keys, from the mapping that holds it
	doc     string
	label   string         // its type and bounds
	schema  map[string]any // a JSON Schema of its value, without that of parts
	parts   []description  // of the mapping, or of each element, that it is
	key     string         // what the keys stand for, in a mapping whose keys are names
	restart bool           // it is read only when the host starts
}

// kind is a type of values: how they are read from YAML and written as text.
type kind[T any] struct {
	description
	read func(value) T
	text func(T) string // as the file could hold it
}

// field is one setting of a C. The tables of fields are the only list of settings:
// Parse reads them, Diff compares them, Settings shows them, Resolve applies them,
// and the documentation and the editors' schema are generated from them.
type field[C any] struct {
	description
	read func(*C, value)
	show func(*C, func(path string, s state))
}

// state is a setting as it is in a configuration.
type state struct {
	text   string // as the file holds it; "" where the file does not set it
	shown  string // the value in force; "" for none
	secret bool   // text is not for everyone
}

// setting returns a field that always has a value.
func setting[C, T any](path string, k kind[T], of func(*C) *T, doc string) field[C] {
	f := field[C]{description: k.description,
		read: func(c *C, v value) { *of(c) = k.read(v) },
		show: func(c *C, emit func(string, state)) {
			text := k.text(*of(c))
			emit(path, state{text: text, shown: text})
		}}
	f.path, f.doc = path, doc
	return f
}

// optional returns a field that is nil where the file does not set it.
func optional[C, T any](path string, k kind[T], of func(*C) **T, doc string) field[C] {
	f := setting(path, k, func(c *C) *T { return *of(c) }, doc)
	show := f.show
	f.read = func(c *C, v value) { *of(c) = new(k.read(v)) }
	f.show = func(c *C, emit func(string, state)) {
		if *of(c) != nil {
			show(c, emit)
		}
	}
	return f
}

// atStart marks a field as one that is read only when the host starts.
func (f field[C]) atStart() field[C] {
	f.restart = true
	return f
}

// with changes what a field shows.
func (f field[C]) with(change func(*state)) field[C] {
	show := f.show
	f.show = func(c *C, emit func(string, state)) {
		show(c, func(path string, s state) {
			change(&s)
			emit(path, s)
		})
	}
	return f
}

// unset takes this text for a setting that the file does not have.
func (f field[C]) unset(text string) field[C] {
	return f.with(func(s *state) {
		if s.text == text {
			s.text = ""
		}
	})
}

// zero shows these words for the value 0.
func (f field[C]) zero(words string) field[C] {
	return f.with(func(s *state) {
		if s.shown == "0" {
			s.shown = words
		}
	})
}

// within returns the fields of a part as fields of the C that it is in.
func within[C, P any](prefix string, fields []field[P], part func(*C) *P) []field[C] {
	list := make([]field[C], len(fields))
	for i, f := range fields {
		list[i] = field[C]{description: f.description,
			read: func(c *C, v value) { f.read(part(c), v) },
			show: func(c *C, emit func(string, state)) {
				f.show(part(c), func(path string, s state) { emit(prefix+path, s) })
			}}
		list[i].path = prefix + f.path
	}
	return list
}

// check is a rule about several fields of a mapping. keys are the mapping's values.
type check[C any] struct {
	path string // of the mapping; "" for the C itself
	run  func(c *C, v value, keys map[string]value)
}

func checksWithin[C, P any](prefix string, checks []check[P], part func(*C) *P) []check[C] {
	list := make([]check[C], len(checks))
	for i, k := range checks {
		list[i] = check[C]{prefix + k.path, func(c *C, v value, keys map[string]value) { k.run(part(c), v, keys) }}
	}
	return list
}

// readTable reads a mapping into c.
func readTable[C any](v value, c *C, fields []field[C], checks []check[C]) {
	readMapping(v, c, "", fields, checks)
}

func readMapping[C any](v value, c *C, path string, fields []field[C], checks []check[C]) {
	known := make(map[string]func(value))
	for _, f := range fields {
		tail, ok := strings.CutPrefix(f.path, path)
		if !ok {
			continue
		}
		key, _, deeper := strings.Cut(tail, ".")
		known[key] = func(v value) { f.read(c, v) }
		if deeper {
			known[key] = func(v value) { readMapping(v, c, path+key+".", fields, checks) }
		}
	}
	keys := v.fields(known)
	for _, k := range checks {
		if k.path == strings.TrimSuffix(path, ".") {
			k.run(c, v, keys)
		}
	}
}

// objectKind is a mapping that is one setting.
func objectKind[T any](fields []field[T], checks ...check[T]) kind[T] {
	return kind[T]{description: description{label: "mapping", parts: describe(fields)}, text: jsonText[T],
		read: func(v value) (t T) {
			readTable(v, &t, fields, checks)
			return t
		}}
}

func describe[C any](fields []field[C]) []description {
	list := make([]description, len(fields))
	for i, f := range fields {
		list[i] = f.description
	}
	return list
}

// states returns the settings of c by path.
func states[C any](c *C, fields []field[C]) map[string]state {
	m := make(map[string]state)
	for _, f := range fields {
		f.show(c, func(path string, s state) { m[path] = s })
	}
	return m
}

func sortedKeys[V any](sets ...map[string]V) []string {
	all := make(map[string]bool)
	for _, m := range sets {
		for key := range m {
			all[key] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// jsonText writes a value as JSON, which YAML takes as well.
func jsonText[T any](v T) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
