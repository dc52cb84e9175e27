package abi_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/abi/internal/pointer"
)

// TestPointerVectors holds the golden vectors against a second reading of the
// RFC, so that a vector that is wrong does not become everyone's rule.
func TestPointerVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/pointer.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name, Doc, Pointer, Want, Code string
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			if v.Name == "" || seen[v.Name] {
				t.Error("the name is missing or not unique")
			}
			seen[v.Name] = true
			var want abi.Code
			if v.Code != "" {
				var ok bool
				if want, ok = abi.ParseCode(v.Code); !ok {
					t.Fatalf("no code is called %q", v.Code)
				}
			}
			if got, code := pointer.Resolve(v.Doc, v.Pointer); got != v.Want || code != want {
				t.Errorf("%s at %q: got %q, %v; want %q, %v", v.Doc, v.Pointer, got, code, v.Want, want)
			}
		})
	}
}
