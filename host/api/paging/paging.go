// Package paging cuts lists that are in memory into pages.
package paging

import (
	"slices"
	"strings"
)

// ByName returns the part of a list after the cursor, which is "" or the one of the page
// before, in the order of the names: at most limit items, or all for 0. next is the cursor of
// the page after it, nil without one. Items with the name of the last one are on its page,
// too, beyond the limit. It may sort the list. A cursor whose item is gone remains valid.
func ByName[T any](list []T, name func(T) string, cursor string, limit int) (page []T, next *string) {
	slices.SortStableFunc(list, func(a, b T) int { return strings.Compare(name(a), name(b)) })
	from := 0
	for from < len(list) && cursor != "" && name(list[from]) <= cursor {
		from++
	}
	to := len(list)
	if limit > 0 && from+limit < to {
		to = from + limit
		for to < len(list) && name(list[to]) == name(list[to-1]) {
			to++
		}
	}
	if to < len(list) {
		next = new(name(list[to-1]))
	}
	return list[from:to], next
}
