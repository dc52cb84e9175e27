package splice_test

import (
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/berth-host/berth/host/config/splice"
)

// Package config tests the results of edits; these tests cover the proposals.

func TestSetProposesTheBestFirst(t *testing.T) {
	tests := []struct {
		name, src, path, want string
	}{
		{"replace", "a:\n  b: 1 # c\n", "a.b", "a:\n  b: 2 # c\n"},
		{"add a setting", "a:\n  c: 1\n", "a.b", "a:\n  b: 2\n  c: 1\n"},
		{"add a section", "x: 1\n", "a.b", "x: 1\na:\n  b: 2\n"},
		{"add a member", "a:\n   c:\n      d: 1\n", "a.e.b", "a:\n   c:\n      d: 1\n   e:\n      b: 2\n"},
		{"line separators", "x: 1\u2028a: {b: 1}\u2029", "a.b", "x: 1\u2028a: {b: 2}\u2029"},
		{"old Mac line ends", "x: 1\ra:\r  b: 1\r", "a.b", "x: 1\ra:\r  b: 2\r"},
	}
	for _, tt := range tests {
		texts, err := splice.Set([]byte(tt.src), strings.Split(tt.path, "."), "2")
		if err != nil || len(texts) == 0 {
			t.Errorf("%s: got %d texts, %v", tt.name, len(texts), err)
			continue
		}
		if got := string(texts[0]); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestSetRefusesUnsafePaths(t *testing.T) {
	for src, want := range map[string]string{
		"a: [1]\n":       "line 1: a is not a mapping",
		"- a\n":          "line 1: the document is not a mapping",
		"a: x\n":         "line 1: a is not a mapping",
		"a: {b: [1]}\n":  "line 1: the value is not a plain word",
		"a: {b: '1'}\n":  "line 1: the value is not a plain word",
		"a: {b: &x 1}\n": "line 1: a.b is an anchor (&x)",
		"a: {b: !!x 1}":  "line 1: a.b is a tag (!!x)",
		"a: [\n":         "yaml: ",
	} {
		_, err := splice.Set([]byte(src), []string{"a", "b"}, "2")
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", src, err, want)
		}
	}
}

func FuzzSplice(f *testing.F) {
	f.Add("a:\n  b: 1\n")
	f.Add("{a: {b}, c: d}")
	f.Add("? a\r\n: b:\n\u2028 - c")
	f.Fuzz(func(t *testing.T, src string) {
		var n yaml.Node
		valid := yaml.Unmarshal([]byte(src), &n) == nil
		for _, edit := range []func() ([][]byte, error){
			func() ([][]byte, error) { return splice.Set([]byte(src), []string{"a", "b"}, "true") },
			func() ([][]byte, error) { return splice.Remove([]byte(src), []string{"a", "b"}) },
		} {
			texts, err := edit()
			if err == nil && !valid {
				t.Errorf("%q is not YAML, and was edited", src)
			}
			if len(texts) > 64 {
				t.Errorf("%d proposals", len(texts))
			}
		}
	})
}
