package spec

import (
	"cmp"
	"strings"
)

// CompareVersions orders two valid semantic versions by their precedence
// (semver.org 2.0.0, section 11): below zero when a comes before b.
func CompareVersions(a, b string) int {
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

func number(s string) bool { return strings.Trim(s, "0123456789") == "" }

// compareParts compares identifiers between dots: numbers by value and below
// words, words by their bytes, and fewer below more.
func compareParts(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		x, y := number(as[i]), number(bs[i])
		c := strings.Compare(as[i], bs[i])
		switch {
		case x && y: // of any length, and without zeros in front
			c = cmp.Or(cmp.Compare(len(as[i]), len(bs[i])), c)
		case x:
			c = -1
		case y:
			c = 1
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(len(as), len(bs))
}
