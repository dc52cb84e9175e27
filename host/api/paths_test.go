package api_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
)

// Where a plugin's name stands in a path, others choose it. A word of the API in the
// same place of another path is reserved, and nothing else is.
func TestWordsBesidePluginNamesAreReserved(t *testing.T) {
	routes := newServer(t, setup(t).cfg).Routes()
	found := map[string]bool{}
	for _, r := range routes {
		parts := strings.Split(r.Path, "/")
		at := slices.Index(parts, ":name")
		if at < 0 {
			continue
		}
		for _, other := range routes {
			words := strings.Split(other.Path, "/")
			if len(words) > at && slices.Equal(words[:at], parts[:at]) && words[at] != ":name" {
				found[words[at]] = true
				if !abi.ReservedName(words[at]) {
					t.Errorf("%s: %q stands where %s has the name of a plugin: choose another path, or reserve the word in abi.ReservedName", other.Path, words[at], r.Path)
				}
			}
		}
	}
	for _, word := range []string{"install", "marketplace", "uninstall", "verify"} {
		if !found[word] || !abi.ReservedName(word) {
			t.Errorf("%q: in a path: %v, reserved: %v", word, found[word], abi.ReservedName(word))
		}
	}
	if len(found) != 4 {
		t.Errorf("the words are %v", found)
	}
}

// OpenAPI (3.1, "Path Templating Matching") leaves it to the tool which of two paths
// is meant that both match, unless one of them has no parameter where the other has.
func TestPathsAreNotAmbiguous(t *testing.T) {
	var paths []string
	for _, op := range description(t, newServer(t, setup(t).cfg)).Operations {
		if !slices.Contains(paths, op.Path) {
			paths = append(paths, op.Path)
		}
	}
	for i, a := range paths {
		for _, b := range paths[i+1:] {
			if ambiguous(a, b) {
				t.Errorf("%s and %s", a, b)
			}
		}
	}
	if !ambiguous("/a/{x}/c", "/a/b/{y}") || ambiguous("/a/{x}", "/a/b") || ambiguous("/a/{x}", "/b/{x}") {
		t.Error("the test does not know ambiguous paths")
	}
}

// ambiguous reports whether a path can match both, and neither is more concrete.
func ambiguous(a, b string) bool {
	left, right := strings.Split(a, "/"), strings.Split(b, "/")
	if len(left) != len(right) {
		return false
	}
	moreLeft, moreRight := false, false
	for i := range left {
		l, r := strings.HasPrefix(left[i], "{"), strings.HasPrefix(right[i], "{")
		if !l && !r && left[i] != right[i] {
			return false
		}
		if l != r && (left[i] == "{event_id}" || right[i] == "{event_id}") { // no word is an id
			return false
		}
		moreLeft, moreRight = moreLeft || r && !l, moreRight || l && !r
	}
	return moreLeft == moreRight
}

// The paths that plugins had before are answered like the ones they have.
func TestFormerPathsOfPlugins(t *testing.T) {
	s := newServer(t, setup(t).cfg)
	former := 0
	for _, r := range s.Routes() {
		if r.Now == "" {
			continue
		}
		former++
		if r.Method != "GET" {
			continue
		}
		at := strings.NewReplacer(":name", "order-audit")
		was, is := call(s.Handler(), "GET", at.Replace(r.Path), ""), call(s.Handler(), "GET", at.Replace(r.Now), "")
		if was.Code != is.Code || was.Body.String() != is.Body.String() || was.Header().Get("ETag") != is.Header().Get("ETag") {
			t.Errorf("%s answers %d %s; %s answers %d %s", r.Path, was.Code, was.Body, r.Now, is.Code, is.Body)
		}
	}
	if former != 5 {
		t.Errorf("%d paths are former ones", former)
	}
}
