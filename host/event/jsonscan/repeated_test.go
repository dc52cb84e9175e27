package jsonscan

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestRepeated(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                                  "",
		`{"a":1,"b":{"a":2},"c":[{"a":3}]}`:   "",
		`{"a":1,"a":1}`:                       "a",
		`{"a":1,"A":1}`:                       "A",
		`{"a":1,"\u0061":1}`:                  "a",
		`{"k":1,"\u212a":1}`:                  "\u212a", // the sign for kelvin
		`{"layers":1,"layer\u017f":1}`:        "layer\u017f",
		`[[{"x":{"y":1,"z":0,"y":2}}]]`:       "y",
		`{"a":["a","a"],"b":"a"}`:             "",
		`{"a":{"b":1},"c":[{"b":1},{"b":1}]}`: "",
		`["a","a"]`:                           "",
		`"a"`:                                 "",
		``:                                    "",
		`{"a":1,"a"`:                          "a",
		`{"a" 1`:                              "",
	} {
		if key, found := Repeated([]byte(text)); key != want || found != (want != "") {
			t.Errorf("%s: got %q, %v; want %q", text, key, found, want)
		}
	}
}

// FuzzRepeated: text without a repeated key means the same to a reader that takes keys
// in any case.
func FuzzRepeated(f *testing.F) {
	f.Add([]byte(`{"layers":[1],"Layers":[2]}`))
	f.Add([]byte(`{"layers":[1],"layer\u017f":{"a":[]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var folded struct{ Layers json.RawMessage }
		var exact map[string]json.RawMessage
		if _, found := Repeated(text); found || json.Unmarshal(text, &folded) != nil || json.Unmarshal(text, &exact) != nil {
			return
		}
		for key, value := range exact {
			if strings.EqualFold(key, "layers") && string(value) != string(folded.Layers) && string(value) != "null" {
				t.Errorf("%s: %s and %s", text, value, folded.Layers)
			}
		}
	})
}
