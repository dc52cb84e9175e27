package strictjson_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/abi/strictjson"
)

// wide has a field of each kind that a Decoder knows.
type wide struct {
	Text   string          `json:"text"`
	Name   string          `json:"name,omitempty"`
	Any    json.RawMessage `json:"any"`
	Object struct{ A int } `json:"object"`
	Flag   bool            `json:"flag"`
	Number int8            `json:"number"`
	Count  int             `json:"count,omitzero"`
	Ratio  float64         `json:"ratio"`
	Bytes  []byte          `json:"bytes"`
	List   []string        `json:"list,omitempty"`
	Lists  [][]int         `json:"lists"`
	Map    map[string]int  `json:"map"`
	Ptr    *string         `json:"ptr"`
	Free   any             `json:"free"`
	At     time.Time       `json:"at"`
	Wait   unit            `json:"wait"`
	Hidden string          `json:"-"`
}

// unit reads texts that end in s.
type unit string

func (u *unit) UnmarshalText(text []byte) error {
	if !strings.HasSuffix(string(text), "s") {
		return fmt.Errorf("%q has no unit", text)
	}
	*u = unit(text)
	return nil
}

func TestDecode(t *testing.T) {
	text := "x"
	for in, want := range map[string]wide{
		`{}`:                                     {},
		` {"text": "a" , "any":[1, 2]} `:         {Text: "a", Any: json.RawMessage(`[1, 2]`)},
		`{"t\u0065xt":"\u00e9\ud83d\ude00\"\n"}`: {Text: "é😀\"\n"},
		`{"any":null}`:                           {Any: json.RawMessage(`null`)},
		`{"any":{"a":1,"a":2,"A":"\ud800"}}`:     {Any: json.RawMessage(`{"a":1,"a":2,"A":"\ud800"}`)},
		`{"object":{"A":1},"flag":true,"number":-128,"count":1}`: {Object: struct{ A int }{1}, Flag: true, Number: -128, Count: 1},
		`{"ratio":1.5,"bytes":"AAE=","list":["a",""],"lists":[[],[1,2]],"map":{"a":1,"A":2},"ptr":"x","free":[null]}`: {
			Ratio: 1.5, Bytes: []byte{0, 1}, List: []string{"a", ""}, Lists: [][]int{{}, {1, 2}}, Map: map[string]int{"a": 1, "A": 2}, Ptr: &text, Free: []any{nil}},
		`{"at":"2026-05-01T10:00:00Z","wait":"5s"}`: {At: time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC), Wait: "5s"},
	} {
		var got wide
		if err := (strictjson.Decoder{}).Decode([]byte(in), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", in, got, err, want)
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	for _, tt := range []struct{ text, path, reason string }{
		{``, "", "the text is empty"},
		{`{`, "", "malformed JSON: it ends at byte 1, line 1, in the middle of a value"},
		{"{\n\"text\":", "", "malformed JSON: it ends at byte 9, line 2, in the middle of a value"},
		{"{\n\"any\":1,}", "", "malformed JSON at byte 11, line 2: invalid character '}'"},
		{`{"any" 1}`, "", "malformed JSON at byte 8"},
		{`{1:1}`, "", "malformed JSON at byte 2"},
		{"\xef\xbb\xbf{}", "", "byte order mark"},
		{strings.Repeat("[", 20_000), "", "exceeded max depth"},
		{`[]`, "", "must be an object, not an array"},
		{`null`, "", "must be an object, not null"},
		{`{}{}`, "", "unexpected data after the JSON value"},
		{`{} x`, "", "unexpected data after the JSON value"},
		{`{"any":1,"any":1}`, "any", "duplicate key"},
		{`{"any":1,"\u0061ny":1}`, "any", "duplicate key"},
		{`{"map":{"a":1,"\u0061":1}}`, "map.a", "duplicate key"},
		{`{"Text":"a"}`, "Text", "unknown key: the known ones are text, name, any, "},
		{`{"Hidden":"a"}`, "Hidden", "unknown key"},
		{`{"-":"a"}`, "-", "unknown key"},
		{`{"object":{"x":1}}`, "object.x", "unknown key: the known ones are A"},
		{`{"text":1.50}`, "text", "must be a string, not 1.50"},
		{`{"text":null}`, "text", "must be a string, not null"},
		{`{"object":null}`, "object", "must be an object, not null"},
		{`{"ptr":null}`, "ptr", "must be a string, not null"},
		{`{"ptr":1}`, "ptr", "must be a string, not 1"},
		{`{"list":null}`, "list", "must be an array, not null"},
		{`{"list":{}}`, "list", "must be an array, not an object"},
		{`{"list":["a",true]}`, "list[1]", "must be a string, not true"},
		{`{"lists":[[1],[1,"2"]]}`, "lists[1][1]", "must be a whole number, not a string"},
		{`{"map":[]}`, "map", "must be an object, not an array"},
		{`{"map":{"a":"b"}}`, "map.a", "must be a whole number, not a string"},
		{`{"flag":"yes"}`, "flag", "must be true or false, not a string"},
		{`{"number":128}`, "number", "not 128"},
		{`{"count":1.0}`, "count", "must be a whole number, not 1.0"},
		{`{"count":1e2}`, "count", "must be a whole number, not 1e2"},
		{`{"count":0}`, "count", "must not be 0: leave it out for none"},
		{`{"ratio":1e400}`, "ratio", "not 1e400"},
		{`{"bytes":"?"}`, "bytes", "illegal base64"},
		{`{"wait":5}`, "wait", "not 5"},
		{`{"wait":"5"}`, "wait", `"5" has no unit`},
		{`{"name":""}`, "name", "must not be empty: leave it out for none"},
		{`{"text":"\ud800"}`, "text", "half of a surrogate pair"},
		{"{\"text\":\"\xff\"}", "", "is not valid UTF-8"},
		{`{"` + strings.Repeat("k", 1000) + `":1}`, strings.Repeat("k", 64), "unknown key"},
	} {
		var v wide
		var got *strictjson.Error
		err := strictjson.Decoder{}.Decode([]byte(tt.text), &v)
		if !errors.As(err, &got) || got.Path != tt.path || !strings.Contains(got.Reason, tt.reason) {
			t.Errorf("%.80s: got %v, want %q: %q", tt.text, err, tt.path, tt.reason)
		}
	}
}

func TestNullAndLoneSurrogates(t *testing.T) {
	d := strictjson.Decoder{Null: true, LoneSurrogates: true}
	var v wide
	if err := d.Decode([]byte(`{"text":"a\ud800b","object":null,"flag":null,"count":null,"lists":null,"map":null,"ptr":null,"free":null,"wait":null}`), &v); err != nil || !reflect.DeepEqual(v, wide{Text: "a\ufffdb"}) {
		t.Errorf("got %+v, %v", v, err)
	}
	if err := d.Decode([]byte(`{"list":null}`), &v); err == nil || err.Error() != "list: must not be null: leave it out for none" {
		t.Errorf("got %v", err)
	}
	if err := d.Decode([]byte(` null `), &v); err != nil {
		t.Errorf("got %v", err)
	}
}

// TestErrorsKeepNothingOfTheText: a body's memory may be used again.
func TestErrorsKeepNothingOfTheText(t *testing.T) {
	text := []byte(`{"map":{"some key":1,"some key":2}}`)
	var v wide
	err := strictjson.Decoder{}.Decode(text, &v)
	shape := strictjson.Inspect(text, false)
	clear(text)
	if err == nil || err.Error() != "map.some key: duplicate key" || shape.Path != "map.some key" {
		t.Errorf("got %v, %+v", err, shape)
	}
}

// FuzzDecode compares with encoding/json: an accepted text decodes there to the same value.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"text":"a","any":{}}`, `{"any":1,}`, `{"any":1 "text":""}`, `{"object":{"A":1}}`, `{} `, `{"map":{"a":1},"list":["\u00e9"],"lists":[[1]]}`,
		`{"ratio":1e3,"free":{"a":[]},"bytes":"AAE=","wait":"5s","at":"2026-05-01T10:00:00Z","ptr":null,"number":-0}`} {
		f.Add(s, true, true)
	}
	f.Fuzz(func(t *testing.T, text string, null, lone bool) {
		var got, want wide
		err := strictjson.Decoder{Null: null, LoneSurrogates: lone}.Decode([]byte(text), &got)
		if err != nil {
			var known *strictjson.Error
			if !errors.As(err, &known) || known.Reason == "" {
				t.Errorf("%q: got %#v", text, err)
			}
			return
		}
		if err := json.Unmarshal([]byte(text), &want); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, encoding/json %+v, %v", text, got, want, err)
		}
	})
}

// BenchmarkDecode decodes the child of an event.
func BenchmarkDecode(b *testing.B) {
	text := []byte(`{"event_type":"order_noted","data":{"a":1,"status":"shipped","items":[1,2,3]},"metadata":{"idempotency_key":"k","subject":"o-17"}}`)
	b.ReportAllocs()
	for b.Loop() {
		var child struct {
			Type     string          `json:"event_type"`
			Data     json.RawMessage `json:"data"`
			Metadata struct {
				Key     string `json:"idempotency_key"`
				Subject string `json:"subject"`
			} `json:"metadata"`
		}
		if err := (strictjson.Decoder{}).Decode(text, &child); err != nil {
			b.Fatal(err)
		}
	}
}
