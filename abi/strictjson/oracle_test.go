package strictjson_test

import (
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/berth-host/berth/abi/strictjson"
)

// FuzzAgainstJSONText compares with jsontext, an independent reader: which texts
// are valid, which have a key twice, and how deep they nest.
func FuzzAgainstJSONText(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	for _, text := range []string{`{"a":1,"\u0061":2}`, `[{"a":{"b":1,"b":2}}]`, `{"\ud800":1,"\ud801":2}`, `"\ud83d\ude00"`, `{"a":{},"b":{}}`, `1e400`, "\"\xff\""} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		lenient := []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}
		valid := jsontext.Value(text).IsValid(lenient...)
		if got := strictjson.Valid(text); got != valid && (got || depth(text) <= strictjson.MaxDepth) {
			t.Fatalf("Valid(%q) = %v, jsontext says %v", text, got, valid)
		}
		if got, want := strictjson.Check(text) == nil, valid && utf8.Valid(text); got != want {
			t.Fatalf("Check(%q) = %v, jsontext says %v", text, strictjson.Check(text), want)
		}
		if !valid {
			return
		}
		if got := strictjson.Depth(text); got != depth(text) {
			t.Fatalf("Depth(%q) = %d, want %d", text, got, depth(text))
		}
		// jsontext compares keys with their lone surrogates refused, and so does Inspect only where there are none.
		if jsontext.Value(text).IsValid(jsontext.AllowDuplicateNames(true)) {
			unique := jsontext.Value(text).IsValid()
			if got := strictjson.Inspect(text, false).Repeated; got == unique {
				t.Fatalf("Inspect(%q) says that a key is repeated: %v, jsontext %v", text, got, !unique)
			}
		}
	})
}
