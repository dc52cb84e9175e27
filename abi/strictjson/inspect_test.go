package strictjson_test

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi/strictjson"
)

func TestInspectFindsRepeatedKeys(t *testing.T) {
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
		if got := strictjson.Inspect([]byte(text), true); got.Key != want || got.Repeated != (want != "") {
			t.Errorf("%s: got %q, %v; want %q", text, got.Key, got.Repeated, want)
		}
	}
}

func TestShape(t *testing.T) {
	for _, tt := range []struct {
		text string
		want strictjson.Shape
	}{
		{`1`, strictjson.Shape{Values: 1}},
		{` [ ] `, strictjson.Shape{Values: 1}},
		{`{"a":[1,{"b":2}],"A":0}`, strictjson.Shape{Values: 6}},
		{`{"a":[1,[{"b":{"c":1,"\u0063":2,"c":3},"b":4}]]}`, strictjson.Shape{Values: 10, Repeated: true, Path: "a[1][0].b.c", Key: "c"}},
		{`[{"":1,"":2}]`, strictjson.Shape{Values: 4, Repeated: true, Path: "[0]"}},
		{`[}`, strictjson.Shape{Values: 2}},
		{strings.Repeat("[", 20_000), strictjson.Shape{Values: 10_001}},
	} {
		if got := strictjson.Inspect([]byte(tt.text), false); got != tt.want {
			t.Errorf("%.80s: got %+v, want %+v", tt.text, got, tt.want)
		}
	}
}

// FuzzInspect: text without a repeated key means the same to a reader that takes keys
// in any case.
func FuzzInspect(f *testing.F) {
	f.Add([]byte(`{"layers":[1],"Layers":[2]}`))
	f.Add([]byte(`{"layers":[1],"layer\u017f":{"a":[]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var folded struct{ Layers json.RawMessage }
		var exact map[string]json.RawMessage
		if strictjson.Inspect(text, true).Repeated || json.Unmarshal(text, &folded) != nil || json.Unmarshal(text, &exact) != nil {
			return
		}
		for key, value := range exact {
			if strings.EqualFold(key, "layers") && string(value) != string(folded.Layers) && string(value) != "null" {
				t.Errorf("%s: %s and %s", text, value, folded.Layers)
			}
		}
	})
}

// A long key repeated deep inside names its path at a cost that grows with the text.
func TestInspectOfDeepRepeatedKeyIsLinear(t *testing.T) {
	const depth, size = 9_000, 256 << 10
	key := strings.Repeat("k", size)
	text := []byte(strings.Repeat("[", depth) + `{"` + key + `":1,"` + key + `":2}` + strings.Repeat("]", depth))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got := strictjson.Inspect(text, false)
	runtime.ReadMemStats(&after)
	if !got.Repeated || got.Key != key || got.Path != strings.Repeat("[0]", depth)+"."+key {
		t.Errorf("got %v, a key of %d bytes, a path of %d", got.Repeated, len(got.Key), len(got.Path))
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
		t.Errorf("allocated %d bytes for a text of %d", used, len(text))
	}
}
