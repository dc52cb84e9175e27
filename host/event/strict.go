package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/berth-host/berth/abi/strictjson"
	"github.com/berth-host/berth/host/fault"
)

// DecodeStrict decodes one JSON value into the struct, or other value, that v
// points to. Keys that are unknown, written in other case or repeated, a second
// value and wrong types are fault.Invalid errors that name the field, and so is an
// empty string, or null for a list, for a key that may be left out (omitempty): it
// would mean the same as none, which is not what was written. What a
// json.RawMessage takes is the caller's: its keys are not looked at.
func DecodeStrict(body []byte, v any) error {
	if err := json.Unmarshal(body, v); err != nil {
		return decodeError(err, body)
	}
	return checkKeys(body, reflect.TypeOf(v), nil)
}

func decodeError(err error, body []byte) error {
	var wrongType *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrongType):
		want := wrongType.Type.String()
		switch wrongType.Type.Kind().String() {
		case "struct", "map":
			want = "an object"
		case "slice":
			want = "a list"
		case "string":
			want = "a string"
		case "bool":
			want = "true or false"
		case "int", "int64", "uint64":
			want = "a whole number"
		}
		return fault.Field(wrongType.Field, "must be %s, not %s", want, wrongType.Value)
	case errors.As(err, &syntax):
		return syntaxError(syntax, body)
	}
	return fault.Field("body", "%s", strings.TrimPrefix(err.Error(), "json: "))
}

// syntaxError says where the text stops being JSON.
func syntaxError(err *json.SyntaxError, body []byte) error {
	rest := bytes.TrimLeft(body, " \t\r\n")
	if len(rest) == 0 {
		return fault.Field("body", "the body is empty")
	}
	if bytes.HasPrefix(body, []byte("\xef\xbb\xbf")) {
		return fault.Field("body", "the body begins with a byte order mark, which JSON that is sent must not have (RFC 8259, section 8.1)")
	}
	// The error's offset is the bytes read: the last of them is the wrong one,
	// unless the text ended too early.
	dec := json.NewDecoder(bytes.NewReader(body))
	var first json.RawMessage
	switch e := dec.Decode(&first); {
	case e == nil:
		return fault.Field("body", "there is something after the JSON value")
	case errors.Is(e, io.ErrUnexpectedEOF):
		return fault.Field("body", "malformed JSON: it ends at byte %d, in the middle of a value", len(body))
	}
	return fault.Field("body", "malformed JSON at byte %d: %v", err.Offset, err)
}

// checkKeys refuses what encoding/json lets pass: keys that are unknown, that are
// a field's name only when case is ignored, and that come twice, of which the
// last would win. The text is one that decoded into t without an error, and so it is known
// to be well formed and to fit t; what no struct reads is skipped. known may have
// the keys of struct types in it, which need not be found out then.
func checkKeys(text []byte, t reflect.Type, known []structKeys) error {
	s := keyScanner{text: text, known: known}
	return s.value(t, "")
}

// keysOf returns the keys of a struct type, and of the struct types it points to.
func keysOf(t reflect.Type) []structKeys {
	list := []structKeys{{t, appendFields(nil, t)}}
	for _, f := range list[0].fields {
		if f.typ.Kind() == reflect.Pointer && f.typ.Elem().Kind() == reflect.Struct {
			list = append(list, keysOf(f.typ.Elem())...)
		}
	}
	return slices.Clip(list) // to be shared: appending to it copies
}

// keyScanner moves over well-formed JSON text. It never reads outside of it,
// whatever it is given.
type keyScanner struct {
	text  []byte
	at    int
	known []structKeys // of the struct types met so far
}

// structKeys are the keys of one struct type.
type structKeys struct {
	of     reflect.Type
	fields []keyField
}

type keyField struct {
	name     string
	typ      reflect.Type
	optional bool // an empty string is refused, and null for a list
}

func (s *keyScanner) value(t reflect.Type, path string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch c := s.next(); {
	case c == '{' && t.Kind() == reflect.Struct:
		return s.object(t, path)
	case c == '{' && t.Kind() == reflect.Map:
		return s.entries(t.Elem(), path)
	case c == '"':
		return s.checkString(t, strings.TrimSuffix(path, "."))
	case c == '[' && t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8: // json.RawMessage is one of bytes
		return s.list(t.Elem(), path)
	}
	s.skip()
	return nil
}

func (s *keyScanner) object(t reflect.Type, path string) error {
	fields := s.fields(t)
	var few [32]bool
	seen := few[:]
	if len(fields) > len(seen) {
		seen = make([]bool, len(fields))
	}
	for s.at++; s.next() == '"'; {
		key := s.key()
		i := 0
		for i < len(fields) && fields[i].name != string(key) {
			i++
		}
		if i == len(fields) {
			return fault.Field(path+quotedKey(key), "is not a known key here; keys are written in small letters, exactly as documented")
		}
		inner := path + fields[i].name
		if seen[i] {
			return fault.Field(inner, "is there twice")
		}
		seen[i] = true
		if s.next() == ':' {
			s.at++
		}
		if s.next() == '"' { // the usual value
			from := s.at
			if err := s.checkString(fields[i].typ, inner); err != nil {
				return err
			}
			if fields[i].optional && s.at-from == len(`""`) {
				return fault.Field(inner, "is empty; leave it out for none")
			}
		} else if fields[i].optional && s.next() == 'n' && fields[i].typ.Kind() == reflect.Slice {
			return fault.Field(inner, "is null; leave it out for none")
		} else if err := s.value(fields[i].typ, inner+"."); err != nil {
			return err
		}
		if s.next() == ',' {
			s.at++
		}
	}
	s.at++ // the brace
	return nil
}

// entries checks a map: any key, but each once, and what it leads to.
func (s *keyScanner) entries(t reflect.Type, path string) error {
	seen := make(map[string]bool)
	for s.at++; s.next() == '"'; {
		key := string(s.key())
		inner := path + quotedKey([]byte(key))
		if seen[key] {
			return fault.Field(inner, "is there twice")
		}
		seen[key] = true
		if s.next() == ':' {
			s.at++
		}
		if err := s.value(t, inner+"."); err != nil {
			return err
		}
		if s.next() == ',' {
			s.at++
		}
	}
	s.at++ // the brace
	return nil
}

// checkString takes a string. One that is decoded as a text must name characters only.
func (s *keyScanner) checkString(t reflect.Type, field string) error {
	from := s.at
	s.skipString()
	if t.Kind() != reflect.Slice && strictjson.LoneSurrogate(s.text[from:s.at]) {
		return fault.Field(field, "has half of a surrogate pair (an escape from \\ud800 to \\udfff), which is no character")
	}
	return nil
}

func (s *keyScanner) list(t reflect.Type, path string) error {
	s.at++
	path = strings.TrimSuffix(path, ".")
	for i := 0; ; i++ {
		switch s.next() {
		case ']', 0:
			s.at++
			return nil
		case ',':
			s.at++
		}
		if err := s.value(t, path+"["+strconv.Itoa(i)+"]."); err != nil {
			return err
		}
	}
}

// fields lists a struct's keys, with those of structs embedded in it.
func (s *keyScanner) fields(t reflect.Type) []keyField {
	for _, k := range s.known {
		if k.of == t {
			return k.fields
		}
	}
	fields := appendFields(make([]keyField, 0, t.NumField()), t)
	s.known = append(s.known, structKeys{t, fields})
	return fields
}

func appendFields(list []keyField, t reflect.Type) []keyField {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		optional := options == "omitempty" && (f.Type.Kind() == reflect.String ||
			f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() != reflect.Uint8) // which json.RawMessage is of
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			list = appendFields(list, f.Type)
		case name == "":
			list = append(list, keyField{f.Name, f.Type, optional})
		default:
			list = append(list, keyField{name, f.Type, optional})
		}
	}
	return list
}

// next returns the next byte that is no white space, without taking it; 0 at the end.
func (s *keyScanner) next() byte {
	for ; s.at < len(s.text); s.at++ {
		if c := s.text[s.at]; c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c
		}
	}
	return 0
}

// key takes the string that is next and returns it, unescaped.
func (s *keyScanner) key() []byte {
	from := s.at
	s.skipString()
	raw := s.text[from:s.at]
	if bytes.IndexByte(raw, '\\') >= 0 {
		var text string
		_ = json.Unmarshal(raw, &text) // it was decoded before; what would not decode is no known key
		return []byte(text)
	}
	return bytes.Trim(raw, `"`)
}

// skip takes one value.
func (s *keyScanner) skip() {
	depth := 0
	for s.next(); s.at < len(s.text); {
		switch s.text[s.at] {
		case '"':
			s.skipString()
			if depth == 0 {
				return
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return
			}
			if depth == 0 {
				s.at++
				return
			}
		case ',':
			if depth == 0 {
				return
			}
		}
		s.at++
	}
}

// skipString takes the string that is next.
func (s *keyScanner) skipString() {
	for s.at++; s.at < len(s.text); {
		end := bytes.IndexByte(s.text[s.at:], '"')
		if end < 0 {
			s.at = len(s.text)
			return
		}
		s.at += end + 1
		escapes := 0
		for i := s.at - 2; i >= 0 && s.text[i] == '\\'; i-- {
			escapes++
		}
		if escapes%2 == 0 {
			return
		}
	}
}

// quotedKey shows a key in an error.
func quotedKey(key []byte) string {
	const most = 64
	if len(key) > most {
		key = key[:most]
	}
	return strings.ToValidUTF8(string(key), "�")
}
