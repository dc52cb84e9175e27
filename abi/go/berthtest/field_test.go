package berthtest

import (
	"encoding/json"
	"os"
	"testing"

	berth "github.com/berth-host/berth/abi/go"
)

// TestPointerVectors checks the golden vectors against a second reading of the
// RFC, so that a wrong vector does not become every SDK's rule.
func TestPointerVectors(t *testing.T) {
	text, err := os.ReadFile("../../testdata/pointer.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name, Doc, Pointer, Want, Code string
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	codes := map[string]berth.Code{"": 0, "INVALID": berth.ErrInvalid, "NOT_FOUND": berth.ErrNotFound}
	seen := make(map[string]bool)
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			if v.Name == "" || seen[v.Name] {
				t.Error("the name is missing or not unique")
			}
			seen[v.Name] = true
			want, ok := codes[v.Code]
			if !ok {
				t.Fatalf("no code is called %q", v.Code)
			}
			if got, code := field(v.Doc, v.Pointer); got != v.Want || code != want {
				t.Errorf("%s at %q: got %q, %v; want %q, %v", v.Doc, v.Pointer, got, code, v.Want, want)
			}
		})
	}
}
