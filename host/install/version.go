package install

import (
	"cmp"
	"strconv"
	"strings"
)

// compareVersions orders two valid semantic versions by their precedence
// (semver.org 2.0.0, section 11): below zero when a comes before b.
func compareVersions(a, b string) int {
	a, _, _ = strings.Cut(a, "+")
	b, _, _ = strings.Cut(b, "+")
	coreA, preA, hasA := strings.Cut(a, "-")
	coreB, preB, hasB := strings.Cut(b, "-")
	if c := compareParts(coreA, coreB); c != 0 || !hasA && !hasB {
		return c
	}
	switch {
	case !hasA:
		return 1
	case !hasB:
		return -1
	}
	return compareParts(preA, preB)
}

// compareParts compares identifiers between dots: numbers by value and below
// words, words by their bytes, and fewer below more.
func compareParts(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		x, errX := strconv.ParseUint(as[i], 10, 64)
		y, errY := strconv.ParseUint(bs[i], 10, 64)
		c := 0
		switch {
		case errX == nil && errY == nil:
			c = cmp.Compare(x, y)
		case errX == nil:
			c = -1
		case errY == nil:
			c = 1
		default:
			c = strings.Compare(as[i], bs[i])
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(len(as), len(bs))
}
