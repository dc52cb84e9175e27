package route

import (
	"slices"
	"strings"
)

// index finds the most specific pattern that matches a type without trying all: exact
// patterns by the type, globs by their literal beginning, the longest first, which is
// the order of moreSpecific. It is immutable.
type index struct {
	exact  map[string]int    // pattern → its position
	globs  map[string][]glob // literal beginning → its globs, most specific first
	starts []int             // the lengths of these beginnings, longest first
}

// glob is a pattern with at least one *.
type glob struct {
	pattern string
	suffix  string // its literal end
	at      int
}

// newIndex takes the patterns most specific first; find returns their positions.
func newIndex(patterns []string) index {
	x := index{exact: make(map[string]int), globs: make(map[string][]glob)}
	for at, p := range patterns {
		start := prefixLen(p)
		if start == len(p) {
			x.exact[p] = at
			continue
		}
		if !slices.Contains(x.starts, start) {
			x.starts = append(x.starts, start)
		}
		x.globs[p[:start]] = append(x.globs[p[:start]], glob{p, p[strings.LastIndexByte(p, '*')+1:], at})
	}
	slices.SortFunc(x.starts, func(a, b int) int { return b - a })
	return x
}

// find returns the position of the most specific matching pattern, or -1.
func (x *index) find(typ string) int {
	if at, ok := x.exact[typ]; ok {
		return at
	}
	for _, start := range x.starts {
		if start > len(typ) {
			continue
		}
		for _, g := range x.globs[typ[:start]] {
			if strings.HasSuffix(typ, g.suffix) && match(g.pattern[start:], typ[start:]) {
				return g.at
			}
		}
	}
	return -1
}
