package strict_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/internal/strict"
)

func read(text string) (got string, err error) {
	err = strict.Object([]byte(text), func(key string, value []byte) error {
		got += key + "=" + string(value) + ";"
		switch key {
		case "text":
			_, err := strict.Text(value)
			return err
		case "object":
			return strict.Object(value, func(string, []byte) error { return strict.ErrUnknown })
		case "any", "":
			return nil
		}
		return strict.ErrUnknown
	})
	return got, err
}

func TestObject(t *testing.T) {
	for _, tt := range []struct{ text, want, err string }{
		{` {"text": "a" , "any":[1, 2]} `, `text="a";any=[1, 2];`, ""},
		{`{}`, ``, ""},
		{`{"":null}`, `=null;`, ""},
		{`{"t\u0065xt":"a"}`, `text="a";`, ""},
		{``, "", "malformed JSON: it ends in the middle of a value"},
		{`{`, "", "malformed JSON: it ends in the middle of a value"},
		{`{"text":`, "", "malformed JSON: it ends in the middle of a value"},
		{`{"any":1,}`, "", "malformed JSON"},
		{`{"any" 1}`, "", "malformed JSON"},
		{`{1:1}`, "", "malformed JSON"},
		{`[]`, "", "it is not a JSON object"},
		{`null`, "", "it is not a JSON object"},
		{`{}{}`, "", "there is something after the JSON object"},
		{`{} x`, "", "there is something after the JSON object"},
		{`{"any":1,"any":1}`, "", "any: is there twice"},
		{`{"any":1,"\u0061ny":1}`, "", "any: is there twice"},
		{`{"Text":"a"}`, "", "Text: is not a known key here"},
		{`{"text":1}`, "", "text: must be a string"},
		{`{"text":null}`, "", "text: must be a string"},
		{`{"object":{"x":1}}`, "", "object.x: is not a known key here"},
		{"{\"text\":\"\xff\"}", "", "it is not UTF-8"},
		{`{"` + strings.Repeat("k", 1000) + `":1}`, "", strings.Repeat("k", 64) + ": is not a known key here"},
	} {
		got, err := read(tt.text)
		switch {
		case tt.err == "" && (err != nil || got != tt.want):
			t.Errorf("%s: got %s, %v, want %s", tt.text, got, err, tt.want)
		case tt.err != "" && (!fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("%s: got %v, want %q", tt.text, err, tt.err)
		}
	}
}

// FuzzObject: what is taken is JSON, and all that is refused is the caller's fault.
func FuzzObject(f *testing.F) {
	for _, s := range []string{`{"text":"a","any":{}}`, `{"any":1,}`, `{"any":1 "text":""}`, `{"object":{}}`, `{} `} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := read(text)
		if err == nil && !json.Valid([]byte(text)) {
			t.Errorf("%q was taken", text)
		}
		if err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: got %v", text, err)
		}
	})
}
