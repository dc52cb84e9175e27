package abi

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// decodeStrict reads one JSON value into the struct v points to. Unlike
// json.Unmarshal it takes keys in their exact spelling only, once each, knows
// no unknown ones, and takes no null; its errors begin with the path of the
// value. A number zero or a string "" where something is written is an error
// too: leaving the key out is how one says nothing. The structs are made of
// structs, slices, strings, ints, bools, json.RawMessage and TextUnmarshalers.
func decodeStrict(text []byte, v any) error {
	if !utf8.Valid(text) {
		return errors.New("the text is not UTF-8")
	}
	// One pass for the syntax alone, because the decoder's tokens come without
	// the place of an error, and to have bounded the depth.
	if err := json.Unmarshal(text, new(json.RawMessage)); err != nil {
		if s, ok := errors.AsType[*json.SyntaxError](err); ok {
			return fmt.Errorf("line %d: %w", 1+bytes.Count(text[:s.Offset], []byte("\n")), err)
		}
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	return decodeValue(dec, "", reflect.ValueOf(v).Elem())
}

func decodeValue(dec *json.Decoder, path string, v reflect.Value) error {
	if raw, ok := v.Addr().Interface().(*json.RawMessage); ok {
		return decodeRaw(dec, path, raw)
	}
	token, err := dec.Token()
	if err != nil {
		return err
	}
	switch got := token.(type) {
	case json.Delim:
		switch {
		case got == '{' && v.Kind() == reflect.Struct:
			return decodeObject(dec, path, v)
		case got == '[' && v.Kind() == reflect.Slice:
			return decodeArray(dec, path, v)
		}
	case string:
		if t, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
			if err := t.UnmarshalText([]byte(got)); err != nil {
				return at(path, err)
			}
			return nil
		}
		if v.Kind() == reflect.String {
			if got == "" {
				return at(path, errors.New("must not be empty: leave it out instead"))
			}
			v.SetString(got)
			return nil
		}
	case bool:
		if v.Kind() == reflect.Bool {
			v.SetBool(got)
			return nil
		}
	case json.Number:
		if v.Kind() == reflect.Int {
			n, err := strconv.Atoi(got.String())
			if err != nil || n < 1 {
				return at(path, fmt.Errorf("%s is not a whole number above zero", got))
			}
			v.SetInt(int64(n))
			return nil
		}
	}
	return at(path, fmt.Errorf("must be %s", kind(v)))
}

func decodeObject(dec *json.Decoder, path string, v reflect.Value) error {
	seen := make(map[string]bool)
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return err
		}
		key := token.(string) // the decoder has seen to it
		inner := key
		if path != "" {
			inner = path + "." + key
		}
		i := slices.Index(keys(v.Type()), key)
		if i < 0 {
			return at(inner, fmt.Errorf("unknown key: the known ones are %s", strings.Join(keys(v.Type()), ", ")))
		}
		if seen[key] {
			return at(inner, errors.New("the key is there twice"))
		}
		seen[key] = true
		if err := decodeValue(dec, inner, v.Field(i)); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}

func decodeArray(dec *json.Decoder, path string, v reflect.Value) error {
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	for i := 0; dec.More(); i++ {
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
		if err := decodeValue(dec, path+"["+strconv.Itoa(i)+"]", v.Index(i)); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}

func decodeRaw(dec *json.Decoder, path string, raw *json.RawMessage) error {
	if err := dec.Decode(raw); err != nil {
		return err
	}
	if (*raw)[0] != '{' && (*raw)[0] != 't' && (*raw)[0] != 'f' {
		return at(path, errors.New("must be a JSON Schema: an object, true or false"))
	}
	inner := json.NewDecoder(bytes.NewReader(*raw))
	inner.UseNumber()
	return uniqueKeys(inner, path)
}

// uniqueKeys reads one value of any shape, of which no object may have a key twice:
// some readers take the first, and some the last.
func uniqueKeys(dec *json.Decoder, path string) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('{'):
		seen := make(map[string]bool)
		for dec.More() {
			token, err := dec.Token()
			if err != nil {
				return err
			}
			key := token.(string) // the decoder has seen to it
			inner := path + "." + key
			if seen[key] {
				return at(inner, errors.New("the key is there twice"))
			}
			seen[key] = true
			if err := uniqueKeys(dec, inner); err != nil {
				return err
			}
		}
	case json.Delim('['):
		for i := 0; dec.More(); i++ {
			if err := uniqueKeys(dec, path+"["+strconv.Itoa(i)+"]"); err != nil {
				return err
			}
		}
	default:
		return nil
	}
	_, err = dec.Token()
	return err
}

// keys lists the JSON keys of a struct type in the order of its fields.
func keys(t reflect.Type) []string {
	list := make([]string, t.NumField())
	for i := range list {
		list[i], _, _ = strings.Cut(t.Field(i).Tag.Get("json"), ",")
	}
	return list
}

func at(path string, err error) error {
	if path == "" {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// kind names what a place wants, for an error text.
func kind(v reflect.Value) string {
	switch v.Addr().Interface().(type) {
	case *Duration:
		return `a duration in quotes, like "2s"`
	case *Size:
		return `a size in quotes, like "32MiB"`
	}
	switch v.Kind() {
	case reflect.Struct:
		return "an object"
	case reflect.Slice:
		return "an array"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	}
	return "a number"
}
