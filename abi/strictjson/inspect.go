package strictjson

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Shape describes a JSON text.
type Shape struct {
	Values    int    // in it, itself included
	Repeated  bool   // an object has a key twice
	Path, Key string // of the first such key
}

// maxNesting is how deep encoding/json reads.
const maxNesting = 10_000

// Inspect returns the shape of a JSON text. With fold, keys that differ only in the
// case of their letters are duplicates, too. Of two equal keys some readers take
// the first and others the last; encoding/json takes the last, in any case. Of text
// that is not valid JSON the shape is that of a part.
func Inspect(text []byte, fold bool) Shape {
	in := inspector{text: view(text), fold: fold}
	in.value(blank(in.text, 0))
	var path strings.Builder // items and [1] and sku are items[1].sku
	for _, part := range slices.Backward(in.parts) {
		if path.Len() > 0 && part != "" && part[0] != '[' {
			path.WriteByte('.')
		}
		path.WriteString(part)
	}
	in.Path = path.String()
	return in.Shape
}

type inspector struct {
	Shape
	text  string
	fold  bool
	depth int
	parts []string // of Path, the innermost first
}

// value returns the offset of the value's end.
func (in *inspector) value(at int) int {
	if in.depth > maxNesting {
		return len(in.text)
	}
	in.Values++
	in.depth++
	defer func() { in.depth-- }()
	switch byteAt(in.text, at) {
	case '{':
		return in.object(at)
	case '[':
		at = blank(in.text, at+1)
		for i := 0; at < len(in.text) && in.text[at] != ']'; i++ {
			before, repeated := at, in.Repeated
			if at = in.next(in.value(at)); at == before {
				return at // malformed
			}
			if in.Repeated && !repeated {
				in.parts = append(in.parts, "["+strconv.Itoa(i)+"]")
			}
		}
		return at + 1
	}
	return skip(in.text, at)
}

func (in *inspector) object(at int) int {
	seen := make(map[string]bool)
	for at = blank(in.text, at+1); byteAt(in.text, at) == '"'; at = in.next(at) {
		end := skipString(in.text, at)
		key := unescape(in.text[at+1 : max(at+1, end-1)])
		folded := key
		if in.fold {
			folded = strings.Map(foldCase, key)
		}
		if seen[folded] && !in.Repeated {
			key = strings.Clone(key)
			in.Repeated, in.parts, in.Key = true, append(in.parts, key), key
		}
		seen[folded] = true
		repeated := in.Repeated
		at = in.value(blank(in.text, blank(in.text, end)+1))
		if in.Repeated && !repeated {
			in.parts = append(in.parts, strings.Clone(key))
		}
	}
	return at + 1
}

// next moves past white space, and a comma if there is one.
func (in *inspector) next(at int) int {
	if at = blank(in.text, at); byteAt(in.text, at) == ',' {
		at = blank(in.text, at+1)
	}
	return at
}

// foldCase returns the lowest of the letters that differ from r in case only.
func foldCase(r rune) rune {
	lowest := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		lowest = min(lowest, other)
	}
	return lowest
}
