package strictjson

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Error is the reason why a text was refused.
type Error struct {
	Path   string       // of the value: limits.memory, items[1].sku; "" for the whole text
	Reason string       // such as "must be a string, not null"
	Type   reflect.Type // the Go type that the value does not fit; nil for other reasons
}

// Error returns the path and the reason.
func (e *Error) Error() string {
	if e.Path == "" {
		return e.Reason
	}
	return e.Path + ": " + e.Reason
}

// Decoder decodes one JSON text of UTF-8. It refuses keys that are unknown, repeated
// or in other case, and an empty string for a key that may be left out (omitempty,
// omitzero): it would mean the same as none, which is not what was written. Where the
// tag has omitzero, the number 0 is refused, too.
//
// It decodes structs, also embedded ones, maps with string keys, slices, pointers,
// scalars, encoding.TextUnmarshalers and json.Unmarshalers. A json.RawMessage takes
// any value, whose keys are not looked at.
type Decoder struct {
	// Null has null accepted as in encoding/json, as the zero value, except for
	// a list that may be left out.
	Null bool
	// LoneSurrogates has half of a surrogate pair decoded as U+FFFD.
	LoneSurrogates bool
}

// Decode decodes a text into the value that v points to. Its errors are of the
// type *Error.
func (d Decoder) Decode(text []byte, v any) error {
	if err := Check(text); err != nil {
		return err
	}
	r := reader{Decoder: d, text: view(text), at: blank(view(text), 0)}
	if err := r.value(reflect.ValueOf(v).Elem(), field{}); err != nil {
		return err
	}
	return nil
}

// Check returns an *Error for a text that is not valid JSON in UTF-8.
func Check(text []byte) error {
	switch {
	case !utf8.Valid(text):
		return &Error{Reason: "is not valid UTF-8"}
	case Valid(text):
		return nil
	}
	var first json.RawMessage
	err := json.Unmarshal(text, &first) // it reads deeper
	if err == nil {
		return nil
	}
	var syntax *json.SyntaxError
	switch {
	case len(bytes.TrimLeft(text, " \t\r\n")) == 0:
		return &Error{Reason: "the text is empty"}
	case bytes.HasPrefix(text, []byte("\xef\xbb\xbf")):
		return &Error{Reason: "begins with a byte order mark, which JSON must not have (RFC 8259, section 8.1)"}
	case json.NewDecoder(bytes.NewReader(text)).Decode(&first) == nil:
		return &Error{Reason: "unexpected data after the JSON value"}
	case !errors.As(err, &syntax):
		return &Error{Reason: "malformed JSON: " + err.Error()}
	}
	line := 1 + bytes.Count(text[:syntax.Offset], []byte("\n"))
	if int(syntax.Offset) == len(text) && strings.HasPrefix(syntax.Error(), "unexpected end") {
		return &Error{Reason: fmt.Sprintf("malformed JSON: it ends at byte %d, line %d, in the middle of a value", len(text), line)}
	}
	return &Error{Reason: fmt.Sprintf("malformed JSON at byte %d, line %d: %v", syntax.Offset, line, err)}
}

// reader decodes text that Check accepts.
type reader struct {
	Decoder
	text    string
	at      int
	structs []structFields // of the types met so far
}

type structFields struct {
	of     reflect.Type
	fields []field
}

type field struct {
	name                string
	index               []int
	omitEmpty, omitZero bool
}

func (f field) optional() bool { return f.omitEmpty || f.omitZero }

// value decodes the value at r.at, and moves past it.
func (r *reader) value(v reflect.Value, f field) *Error {
	c := byteAt(r.text, r.at)
	if raw, ok := v.Addr().Interface().(*json.RawMessage); ok {
		*raw = []byte(r.raw())
		return nil
	}
	if c == 'n' {
		return r.null(v, f)
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return r.value(v.Elem(), field{})
	}
	switch u := v.Addr().Interface().(type) {
	case json.Unmarshaler:
		return r.standard(v)
	case encoding.TextUnmarshaler:
		if c != '"' {
			return r.mismatch(v.Type())
		}
		text, err := r.string()
		if err != nil {
			return err
		}
		if err := u.UnmarshalText([]byte(text)); err != nil {
			return &Error{Reason: err.Error()}
		}
		return nil
	}
	switch v.Kind() {
	case reflect.Struct:
		if c == '{' {
			return r.object(v)
		}
	case reflect.Map:
		if c == '{' {
			return r.entries(v)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return r.standard(v)
		}
		if c == '[' {
			return r.list(v)
		}
	case reflect.String:
		if c == '"' {
			text, err := r.string()
			if err == nil && text == "" && f.optional() {
				return &Error{Reason: "must not be empty: leave it out for none"}
			}
			v.SetString(text)
			return err
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		from := r.at
		n, err := strconv.ParseInt(r.raw(), 10, v.Type().Bits())
		if err != nil {
			r.at = from
			return r.mismatch(v.Type())
		}
		if n == 0 && f.omitZero {
			return &Error{Reason: "must not be 0: leave it out for none"}
		}
		v.SetInt(n)
		return nil
	case reflect.Bool:
		if c == 't' || c == 'f' {
			v.SetBool(c == 't')
			r.raw()
			return nil
		}
	default:
		return r.standard(v)
	}
	return r.mismatch(v.Type())
}

func (r *reader) null(v reflect.Value, f field) *Error {
	switch {
	case !r.Null:
		return r.mismatch(v.Type())
	case v.Kind() == reflect.Slice && f.optional():
		return &Error{Reason: "must not be null: leave it out for none"}
	}
	r.raw()
	switch v.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
		v.SetZero()
	}
	return nil
}

// raw moves past a value, and returns its text.
func (r *reader) raw() string {
	from := r.at
	r.at = skip(r.text, r.at)
	return r.text[from:r.at]
}

// standard leaves a value to encoding/json.
func (r *reader) standard(v reflect.Value) *Error {
	from := r.at
	err := json.Unmarshal([]byte(r.raw()), v.Addr().Interface())
	var wrongType *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrongType):
		r.at = from
		return r.mismatch(v.Type())
	}
	return &Error{Reason: strings.TrimPrefix(err.Error(), "json: ")}
}

func (r *reader) string() (string, *Error) {
	raw := r.raw()
	if strings.IndexByte(raw, '\\') < 0 {
		return strings.Clone(raw[1 : len(raw)-1]), nil
	}
	if !r.LoneSurrogates && LoneSurrogate(raw) {
		return "", &Error{Reason: "has half of a surrogate pair (an escape from \\ud800 to \\udfff), which is no character"}
	}
	return string(AppendUnescaped(nil, raw[1:len(raw)-1])), nil
}

func (r *reader) object(v reflect.Value) *Error {
	fields := r.fields(v.Type())
	var small [32]bool
	seen := small[:]
	if len(fields) > len(seen) {
		seen = make([]bool, len(fields))
	}
	return r.members(func(key string) *Error {
		i := 0
		for i < len(fields) && fields[i].name != key {
			i++
		}
		if i == len(fields) {
			return &Error{Reason: unknownKey(fields)}
		}
		if seen[i] {
			return &Error{Reason: "duplicate key"}
		}
		seen[i] = true
		return r.value(v.FieldByIndex(fields[i].index), fields[i])
	})
}

// entries decodes a map: any key, but each once.
func (r *reader) entries(v reflect.Value) *Error {
	v.Set(reflect.MakeMap(v.Type()))
	return r.members(func(key string) *Error {
		name := reflect.ValueOf(strings.Clone(key)).Convert(v.Type().Key())
		if v.MapIndex(name).IsValid() {
			return &Error{Reason: "duplicate key"}
		}
		value := reflect.New(v.Type().Elem()).Elem()
		if err := r.value(value, field{}); err != nil {
			return err
		}
		v.SetMapIndex(name, value)
		return nil
	})
}

// members calls member for each key of an object, with r.at at its value.
func (r *reader) members(member func(key string) *Error) *Error {
	for r.at = blank(r.text, r.at+1); byteAt(r.text, r.at) == '"'; r.comma() {
		raw := r.raw()
		key := raw[1 : len(raw)-1]
		if strings.IndexByte(key, '\\') >= 0 {
			key = unescape(key)
		}
		r.at = blank(r.text, blank(r.text, r.at)+1)
		if err := member(key); err != nil {
			err.Path = join(short(key), err.Path)
			return err
		}
	}
	r.at++
	return nil
}

func (r *reader) list(v reflect.Value) *Error {
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	r.at = blank(r.text, r.at+1)
	for i := 0; byteAt(r.text, r.at) != ']'; i++ {
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
		if err := r.value(v.Index(i), field{}); err != nil {
			err.Path = join("["+strconv.Itoa(i)+"]", err.Path)
			return err
		}
		r.comma()
	}
	r.at++
	return nil
}

// comma moves past white space, and a comma if there is one.
func (r *reader) comma() {
	if r.at = blank(r.text, r.at); byteAt(r.text, r.at) == ',' {
		r.at = blank(r.text, r.at+1)
	}
}

// fields lists the keys of a struct, with those of structs embedded in it.
func (r *reader) fields(t reflect.Type) []field {
	for _, s := range r.structs {
		if s.of == t {
			return s.fields
		}
	}
	list := appendFields(make([]field, 0, t.NumField()), t, nil)
	r.structs = append(r.structs, structFields{t, list})
	return list
}

func appendFields(list []field, t reflect.Type, outer []int) []field {
	for i := range t.NumField() {
		f := t.Field(i)
		index := append(outer[:len(outer):len(outer)], i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
			continue
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			list = appendFields(list, f.Type, index)
			continue
		case name == "":
			name = f.Name
		}
		list = append(list, field{name, index, options == "omitempty", options == "omitzero"})
	}
	return list
}

func unknownKey(fields []field) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return "unknown key: the known ones are " + strings.Join(names, ", ")
}

// mismatch is the error of the value at r.at, which a Go type cannot hold.
func (r *reader) mismatch(t reflect.Type) *Error {
	var got string
	switch raw := r.raw(); raw[0] {
	case '"':
		got = "a string"
	case '{':
		got = "an object"
	case '[':
		got = "an array"
	default:
		got = short(raw)
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	want := t.String()
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		want = "an object"
	case reflect.Slice:
		want = "an array"
	case reflect.String:
		want = "a string"
	case reflect.Bool:
		want = "true or false"
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint64:
		want = "a whole number"
	}
	return &Error{Reason: "must be " + want + ", not " + got, Type: t}
}

// short is input as an error shows it.
func short(text string) string {
	const limit = 64
	if len(text) > limit {
		text = text[:limit]
	}
	return strings.Clone(strings.ToValidUTF8(text, "\uFFFD"))
}

// join joins two parts of a path: items and [1] and sku are items[1].sku.
func join(path, inner string) string {
	if path == "" || inner == "" || inner[0] == '[' {
		return path + inner
	}
	return path + "." + inner
}
