package berth

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"unicode/utf8"
)

// TestFieldJSON compares the fields with those of the ABI's vectors.
func TestFieldJSON(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "testdata", "pointer.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct{ Name, Doc, Pointer, Want, Code string }
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, v := range vectors {
		if !json.Valid([]byte(v.Doc)) {
			continue
		}
		checked++
		t.Run(v.Name, func(t *testing.T) {
			invalid := v.Code == "INVALID"
			defer func() {
				if panicked := recover() != nil; panicked != invalid {
					t.Errorf("%s: panicked: %v", v.Pointer, panicked)
				}
			}()
			got, ok := locate([]byte(v.Doc), v.Pointer)
			if ok != (v.Code == "") {
				t.Fatalf("%s in %s: got %s, %v; want %s", v.Pointer, v.Doc, got, ok, v.Code)
			}
			value := string(got)
			if ok && got[0] == '"' {
				if err := json.Unmarshal(got, &value); err != nil {
					t.Fatalf("%s: %v", got, err)
				}
			}
			if ok && value != v.Want {
				t.Errorf("%s in %s: got %s, want %s", v.Pointer, v.Doc, got, v.Want)
			}
		})
	}
	if checked < 50 {
		t.Errorf("%d vectors were checked", checked)
	}
}

// FuzzFieldJSON looks up every member and element of a value, however it is written.
func FuzzFieldJSON(f *testing.F) {
	f.Add([]byte(`{"a":[1,"x\"}",{"b/c~":null}],"\ud83d\ude00\ud83d":true,"a ":-0.5e+3, "n" : [ ] }`))
	f.Add([]byte(`[[],{},"",0,false]`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if !json.Valid(doc) || !utf8.Valid(doc) {
			return
		}
		if got, ok := locate(doc, ""); !ok || !bytes.Equal(bytes.TrimRight(got, " \t\r\n"), bytes.TrimSpace(doc)) {
			t.Fatalf("got %q", got)
		}
		var elements []json.RawMessage
		if json.Unmarshal(doc, &elements) == nil && elements != nil {
			for i, want := range elements {
				if got := element(trim(doc), strconv.Itoa(i)); !bytes.Equal(got, want) {
					t.Errorf("element %d of %q: got %q, want %q", i, doc, got, want)
				}
			}
		}
		var members map[string]json.RawMessage
		if json.Unmarshal(doc, &members) == nil && members != nil {
			for name, want := range members {
				if got := member(trim(doc), name); !bytes.Equal(got, want) {
					t.Errorf("member %q of %q: got %q, want %q", name, doc, got, want)
				}
			}
		}
	})
}
