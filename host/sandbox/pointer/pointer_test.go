package pointer_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/sandbox/pointer"
)

type vector struct{ Name, Doc, Pointer, Want, Code string }

func vectors(t testing.TB) []vector {
	text, err := os.ReadFile("../../../abi/testdata/pointer.json")
	if err != nil {
		t.Fatal(err)
	}
	var vs []vector
	if err := json.Unmarshal(text, &vs); err != nil {
		t.Fatal(err)
	}
	if len(vs) < 20 {
		t.Fatalf("only %d vectors", len(vs))
	}
	return vs
}

func TestGoldenVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			want := abi.Code(0)
			if v.Code != "" && v.Code != "ok" {
				var ok bool
				if want, ok = abi.ParseCode(v.Code); !ok {
					t.Fatalf("unknown code %q", v.Code)
				}
			}
			got, code := pointer.Get(v.Doc, v.Pointer)
			if code != want || got != v.Want {
				t.Errorf("Get(%s, %q) = %q, %v; want %q, %v", v.Doc, v.Pointer, got, code, v.Want, want)
			}
		})
	}
}

func TestLastOfTwoKeysCounts(t *testing.T) {
	if got, _ := pointer.Get(`{"a":1,"a":{"b":2}}`, "/a/b"); got != "2" {
		t.Errorf("got %q, want 2", got)
	}
}

func TestGetAllocatesNothing(t *testing.T) {
	doc := `{"event_type":"x","data":{"a":[1,2,{"b":"text"}]}}`
	n := testing.AllocsPerRun(100, func() {
		if got, _ := pointer.Get(doc, "/data/a/2/b"); got != "text" {
			t.Fatal(got)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzGet compares with encoding/json wherever the text is valid, and only asks
// to live where it is not.
func FuzzGet(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.Doc, v.Pointer)
	}
	f.Fuzz(func(t *testing.T, doc, ptr string) {
		got, code := pointer.Get(doc, ptr)
		if !json.Valid([]byte(doc)) || !abi.ValidPointer(ptr) || strings.Count(ptr, "/") != 1 {
			return
		}
		var object map[string]json.RawMessage
		if json.Unmarshal([]byte(doc), &object) != nil || object == nil || strings.Contains(doc, "\ufffd") || strings.ToValidUTF8(doc, "") != doc {
			return
		}
		key := strings.ReplaceAll(strings.ReplaceAll(ptr[1:], "~1", "/"), "~0", "~")
		raw, ok := object[key]
		if !ok {
			if code != abi.NotFound {
				t.Fatalf("%q is not in %s, but Get answers %q, %v", key, doc, got, code)
			}
			return
		}
		want := string(raw)
		if raw[0] == '"' {
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatal(err)
			}
		}
		if code != 0 || got != want {
			t.Fatalf("Get(%s, %q) = %q, %v; want %q", doc, ptr, got, code, want)
		}
	})
}
