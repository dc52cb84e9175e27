package paging_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/api/paging"
)

func itself(s string) string { return s }

func TestByName(t *testing.T) {
	for _, tt := range []struct {
		list   []string
		cursor string
		limit  int
		want   []string
		next   string
	}{
		{nil, "", 2, nil, ""},
		{[]string{"c", "a", "b"}, "", 0, []string{"a", "b", "c"}, ""},
		{[]string{"c", "a", "b"}, "", 3, []string{"a", "b", "c"}, ""},
		{[]string{"c", "a", "b"}, "", 2, []string{"a", "b"}, "b"},
		{[]string{"c", "a", "b"}, "b", 2, []string{"c"}, ""},
		{[]string{"c", "a"}, "b", 2, []string{"c"}, ""}, // b is gone
		{[]string{"c", "a"}, "c", 2, nil, ""},
		{[]string{"a", "b", "b", "c"}, "", 2, []string{"a", "b", "b"}, "b"},
		{[]string{"", "", "a"}, "", 1, []string{"", ""}, ""},
	} {
		got, next := paging.ByName(slices.Clone(tt.list), itself, tt.cursor, tt.limit)
		text := ""
		if next != nil {
			text = *next
		}
		if !slices.Equal(got, tt.want) || text != tt.next {
			t.Errorf("%q after %q, at most %d: got %q, %q; want %q, %q", tt.list, tt.cursor, tt.limit, got, text, tt.want, tt.next)
		}
	}
}

// TestPagesAreTheList: the pages together have each item once, whatever their size.
func TestPagesAreTheList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOf(rapid.StringMatching("[a-d]{1,2}")).Draw(t, "list")
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		var got []string
		for cursor, more := "", true; more; {
			page, next := paging.ByName(slices.Clone(list), itself, cursor, limit)
			got = append(got, page...)
			if more = next != nil; more {
				cursor = *next
			}
		}
		slices.Sort(list)
		if !slices.Equal(got, list) {
			t.Fatalf("got %q, want %q", got, list)
		}
	})
}
