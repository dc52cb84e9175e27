package strictjson_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi/strictjson"
)

// depth is how deep the brackets outside of strings nest.
func depth(text []byte) int {
	n, deepest, inside := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inside && c == '\\':
			i++
		case c == '"':
			inside = !inside
		case inside:
		case c == '{' || c == '[':
			n++
			deepest = max(deepest, n)
		case c == '}' || c == ']':
			n--
		}
	}
	return deepest
}

func check(t *testing.T, text []byte) {
	t.Helper()
	got, want := strictjson.Valid(text), json.Valid(text)
	if got && !want || want && !got && depth(text) <= strictjson.MaxDepth {
		t.Fatalf("Valid(%q) = %v, encoding/json says %v", text, got, want)
	}
	if !got {
		return
	}
	from := strictjson.NonBlank(text, 0)
	end, compact, ok := strictjson.Value(text, from)
	if !ok {
		t.Fatalf("Value(%q) does not take what is valid", text)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		t.Fatal(err)
	}
	if is := b.String() == string(text[from:end]); is != compact {
		t.Fatalf("Value(%q) says compact: %v, but it is %v", text, compact, is)
	}
}

var texts = []string{
	``, ` `, `null`, `true`, `false`, `nul`, `truee`, `0`, `-0`, `-`, `01`, `1.`, `1.5`, `1e`, `1e+9`, `1E-9`, `-1.5e3`, `.5`, `+1`,
	`""`, `"a`, `"a\"b"`, `"\u00e9"`, `"\u00g9"`, `"\u00"`, `"\x"`, "\"\n\"", `"\`, `{}`, `[]`, `[1,2]`, `[1,]`, `[,1]`, `{"a":1}`, `{"a":1,}`,
	`{"a"}`, `{a:1}`, `{"a":1 ,"b":[ {"c":null} ]}`, " {\"a\" : 1}\n", `[1}`, `{]`, `}`, `[[]`, `1 2`, `"a" "b"`, "\x00", "[\x0b1]", `{"a":"b  c"}`,
	strings.Repeat("[", 64) + strings.Repeat("]", 64), strings.Repeat("[", 65) + strings.Repeat("]", 65), strings.Repeat(`{"a":`, 64) + "1" + strings.Repeat("}", 64),
	strings.Repeat("[", 256) + strings.Repeat("]", 256), strings.Repeat("[", 257) + strings.Repeat("]", 257), strings.Repeat(`[{"a":`, 128) + "1" + strings.Repeat("}]", 128), strings.Repeat(`[{"a":`, 100) + "1" + strings.Repeat("]}", 100),
}

func TestSameAsEncodingJSON(t *testing.T) {
	for _, text := range texts {
		check(t, []byte(text))
	}
}

func FuzzValid(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(check)
}
