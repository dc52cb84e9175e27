package strictjson_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/berth-host/berth/abi/strictjson"
)

// Inner and Word are embedded in outer in the ways that encoding/json distinguishes.
type Inner struct {
	A int `json:"a"`
}

type Second struct {
	B int `json:"b"`
}

type Word string

type outer struct {
	Inner  // its fields
	Second `json:"second"`
	Word          // a field of its name
	Plain  string // no tag
}

// TestEmbeddedStructs decodes embedded fields as encoding/json does.
func TestEmbeddedStructs(t *testing.T) {
	const text = `{"a":1,"second":{"b":2},"Word":"w","Plain":"p"}`
	var got, want outer
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	if err := (strictjson.Decoder{}).Decode([]byte(text), &got); err != nil || !reflect.DeepEqual(got, want) || got.A != 1 || got.B != 2 {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, text := range []string{`{"b":2}`, `{"Inner":{"a":1}}`, `{"Second":{"b":2}}`} {
		if err := (strictjson.Decoder{}).Decode([]byte(text), &got); err == nil {
			t.Errorf("%s was accepted", text)
		}
	}
}
