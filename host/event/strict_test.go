package event_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// nest has what the wire shapes have: lists of structs, pointers, embedded
// structs, raw values.
type nest struct {
	Name  string          `json:"name"`
	Items []leaf          `json:"items"`
	One   *leaf           `json:"one"`
	Raw   json.RawMessage `json:"raw"`
	Texts []string        `json:"texts"`
	Plain int
	leaf  //nolint:unused // its promoted key is decoded
}

type leaf struct {
	SKU string `json:"sku"`
}

func TestDecodeStrictKeys(t *testing.T) {
	for _, tt := range []struct{ text, field string }{
		{`{}`, ""},
		{`null`, ""},
		{` { "name" : "a" , "items" : [ { "sku" : "x" } , { "sku" : "y" }, null ] , "one" : { "sku" : "z" } , "Plain" : 1, "sku": "e" } `, ""},
		{`{"name":"\"name\":\\","raw":{"a":1,"a":2,"A":[{"b":{},"b":{}}]},"texts":["a","a\\"]}`, ""},
		{`{"\u006eame":"a"}`, ""},
		{`{"Name":"a"}`, "Name"},
		{`{"NAME":"a","name":"b"}`, "NAME"},
		{`{"name":"a","name":"b"}`, "name"},
		{`{"name":"a","\u006eame":"b"}`, "name"},
		{`{"plain":1}`, "plain"},
		{`{"ſku":"long s"}`, "ſku"},
		{`{"items":[{"sku":"x"},{"sku":"x","sku":"y"}]}`, "items[1].sku"},
		{`{"items":[{"SKU":"x"}]}`, "items[0].SKU"},
		{`{"one":{"sku":"x","Sku":"y"}}`, "one.Sku"},
		{`{"one":null,"one":{}}`, "one"},
		{`{"raw":[1,{"x":"}"}],"raw":0}`, "raw"},
		{`{"texts":[],"texts":[]}`, "texts"},
	} {
		var v nest
		err := event.DecodeStrict([]byte(tt.text), &v)
		code := fault.Invalid
		if tt.field == "" {
			code = ""
		}
		if !errorIs(err, code, tt.field) {
			t.Errorf("%s: got %v, want an error about %q", tt.text, err, tt.field)
		}
	}
	// At the top a list, and more keys than are kept on the stack.
	var list []leaf
	if err := event.DecodeStrict([]byte(`[{"sku":"a"},{"sku":"a","sku":"b"}]`), &list); !errorIs(err, fault.Invalid, "[1].sku") {
		t.Errorf("a list: got %v", err)
	}
	for text, field := range map[string]string{
		`{"a":{"sku":"x"},"A":{"sku":"y"}, "b" : null }`: "",
		`{"a":{"sku":"x"},"a":{"sku":"y"}}`:              "a",
		`{"a":{"sku":"x"},"\u0061":{"sku":"y"}}`:         "a",
		`{"a":{"SKU":"x"}}`:                              "a.SKU",
	} {
		var named map[string]leaf
		code := fault.Invalid
		if field == "" {
			code = ""
		}
		if err := event.DecodeStrict([]byte(text), &named); !errorIs(err, code, field) {
			t.Errorf("a map, %s: got %v, want an error about %q", text, err, field)
		}
	}
	var raw json.RawMessage
	if err := event.DecodeStrict([]byte(`{"a":1,"a":2}`), &raw); err != nil {
		t.Errorf("raw: got %v", err)
	}
}

// A draft's own keys are exact and come once; its data is the producer's.
func TestParseDraftKeys(t *testing.T) {
	for body, field := range map[string]string{
		`{"event_type":"t","EVENT_TYPE":"u"}`:                         "EVENT_TYPE",
		`{"Event_Type":"t"}`:                                          "Event_Type",
		`{"event_type":"t","event_type":"t"}`:                         "event_type",
		`{"event_type":"t","data":1,"data":2}`:                        "data",
		`{"event_type":"t","metadata":{},"metadata":{}}`:              "metadata",
		`{"event_type":"t","metadata":{"subject":"a","Subject":"b"}}`: "metadata.Subject",
		`{"event_type":"t","metadata":{"time":null,"time":null}}`:     "metadata.time",
	} {
		if _, err := event.ParseDraft([]byte(body)); !errorIs(err, fault.Invalid, field) {
			t.Errorf("%s: got %v, want an error about %s", body, err, field)
		}
	}
	d, err := event.ParseDraft([]byte(`{"event_type":"t","data":{"a":1,"a":2,"A":3}}`))
	if err != nil || string(d.Data) != `{"a":1,"a":2,"A":3}` {
		t.Errorf("got %+v, %v", d, err)
	}
}

// FuzzDecodeStrict: an accepted text has every key in its exact spelling, once, by a
// second, simple reading of the tokens.
func FuzzDecodeStrict(f *testing.F) {
	for _, text := range []string{
		`{}`, `{"name":"a","items":[{"sku":"x"}],"one":{"sku":"\\\""},"raw":{"a":[1,2,{"b":null}]},"texts":["\\"],"Plain":3}`,
		`{"name":"a","name":"b"}`, `{"Name":""}`, `{"items":[{"sku":"","SKU":""}]}`, `{"raw":{"x":1,"x":2}}`, ` null `, `{"one":{"sku":1}}`, `{"one":{]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var v nest
		if err := event.DecodeStrict(text, &v); err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("%q: got %v", text, err)
			}
			return
		}
		top := map[string]bool{"name": true, "items": true, "one": true, "raw": true, "texts": true, "Plain": true, "sku": true}
		if err := keysOnce(text, top); err != nil {
			t.Fatalf("%q was accepted: %v", text, err)
		}
	})
}

// keysOnce checks the keys of the outermost object.
func keysOnce(text []byte, known map[string]bool) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	if token, err := dec.Token(); err != nil || token != json.Delim('{') {
		return err
	}
	seen := map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string)
		if !known[key] || seen[key] {
			return fmt.Errorf("the key %q", key)
		}
		seen[key] = true
		var skip json.RawMessage
		if err := dec.Decode(&skip); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkParseDraft is the publish path's reading, with a small and a large event.
func BenchmarkParseDraft(b *testing.B) {
	for name, data := range map[string]string{
		"time": `{"order_id":"A-1","status":"confirmed"}`, // which the scanner leaves to the decoder
		"300B": `{"order_id":"A-1","status":"confirmed","items":[{"sku":"TEAPOT","quantity":1},{"sku":"CUP","quantity":4}]}`,
		"64KB": `[` + strings.Repeat(`{"sku":"TEAPOT","quantity":1},`, 2200) + `{}]`,
	} {
		body := []byte(`{"event_type":"order_status_changed","data":` + data + `,"metadata":{"idempotency_key":"k-1","subject":"A-1","source":"shop"}}`)
		if name == "time" {
			body = bytes.Replace(body, []byte(`"subject"`), []byte(`"time":"2026-01-02T15:04:05Z","subject"`), 1)
		}
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := event.ParseDraft(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
