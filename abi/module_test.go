package abi_test

import (
	"os"
	"strings"
	"testing"
)

// TestModules: the Go SDK requires no module, the example handlers require the SDK
// only, and the product requires and replaces none of them.
func TestModules(t *testing.T) {
	for file, want := range map[string][]string{
		"go/go.mod":             nil,
		"../plugins-src/go.mod": {"require github.com/berth-host/berth/abi/go v0.0.0"},
	} {
		var got []string
		for _, line := range lines(t, file) {
			if strings.HasPrefix(line, "require") || strings.HasPrefix(line, "\t") {
				got = append(got, line)
			}
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s requires %q, want %q", file, got, want)
		}
	}
	for _, line := range lines(t, "../go.mod") {
		if strings.HasPrefix(line, "replace") || strings.Contains(line, "berth-host/berth/") {
			t.Errorf("go.mod: %s: go install of a version would fail", line)
		}
	}
}

func lines(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text), "\n")
}
