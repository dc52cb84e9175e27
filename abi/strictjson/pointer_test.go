package strictjson_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/abi/strictjson"
)

type vector struct{ Name, Doc, Pointer, Want, Code string }

func vectors(t testing.TB) []vector {
	text, err := os.ReadFile("../testdata/pointer.json")
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

func TestPointerVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			if abi.ValidPointer(v.Pointer) == (v.Code == "INVALID") {
				t.Fatalf("the pointer is valid: %v", abi.ValidPointer(v.Pointer))
			}
			if v.Code == "INVALID" {
				return
			}
			if v.Code != "" && v.Code != "NOT_FOUND" {
				t.Fatalf("unknown code %q", v.Code)
			}
			got, found := strictjson.Get(v.Doc, v.Pointer)
			if found != (v.Code == "") || got != v.Want {
				t.Errorf("Get(%s, %q) = %q, %v; want %q, %q", v.Doc, v.Pointer, got, found, v.Want, v.Code)
			}
		})
	}
}

func TestLastOfTwoKeysCounts(t *testing.T) {
	if got, _ := strictjson.Get(`{"a":1,"a":{"b":2}}`, "/a/b"); got != "2" {
		t.Errorf("got %q, want 2", got)
	}
}

func BenchmarkGet(b *testing.B) {
	small := `{"event_type":"order_status_changed","data":{"order_id":"order-17","status":"shipped","previous_status":"processing","total_cents":4200},"metadata":{"event_id":"0197a3c5-7b1e-7000-8000-000000000001","idempotency_key":"order:order-17:v3","source":"orders","subject":"order-17","time":"2026-01-02T03:04:05Z","correlation_id":"0197a3c5-7b1e-7000-8000-000000000001","hops":0}}`
	large := `{"event_type":"x","data":{"list":[` + strings.Repeat(`{"sku":"TEAPOT","quantity":1},`, 2200) + `{}],"id":"a\"b"},"metadata":{"subject":"s"}}`
	for _, k := range []struct{ name, doc, ptr string }{{"status", small, "/data/status"}, {"subject", small, "/metadata/subject"}, {"large", large, "/metadata/subject"}, {"escaped", large, "/data/id"}} {
		b.Run(k.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if v, _ := strictjson.Get(k.doc, k.ptr); v == "" {
					b.Fatal("nothing is found")
				}
			}
		})
	}
}

func TestGetAllocatesNothing(t *testing.T) {
	doc := `{"event_type":"x","data":{"a":[1,2,{"b":"text"}]}}`
	n := testing.AllocsPerRun(100, func() {
		if got, _ := strictjson.Get(doc, "/data/a/2/b"); got != "text" {
			t.Fatal(got)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzGet compares with encoding/json where the text is valid; elsewhere Get must
// only not panic.
func FuzzGet(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.Doc, v.Pointer)
	}
	f.Fuzz(func(t *testing.T, doc, ptr string) {
		got, found := strictjson.Get(doc, ptr)
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
			if found {
				t.Fatalf("%q is not in %s, but Get returns %q", key, doc, got)
			}
			return
		}
		want := string(raw)
		if raw[0] == '"' {
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatal(err)
			}
		}
		if !found || got != want {
			t.Fatalf("Get(%s, %q) = %q, %v; want %q", doc, ptr, got, found, want)
		}
	})
}
