package strictjson

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
)

// Equal reports whether two valid JSON texts have the same value: members of an
// object in any order, numbers by their exact decimal value (1, 1.0 and 10e-1;
// 0 and -0), strings by their characters. Of a name that an object has twice the
// order counts, because readers differ in which they take. Numbers with an
// exponent of more than 15 digits are compared as they are written.
//
// It compares hashes of 128 bits under seeds of its own, in one pass over each
// text and in memory for the members of one path.
func Equal[T Text](a, b T) bool { return equal(view(a), view(b)) }

func equal(a, b string) bool {
	if a == b {
		return true
	}
	var h hasher
	h.hash[0].SetSeed(maphash.MakeSeed())
	h.hash[1].SetSeed(maphash.MakeSeed())
	x, ok1 := h.text(a)
	y, ok2 := h.text(b)
	return ok1 && ok2 && x == y
}

type sum [2]uint64

// member is the hash of a name, and of its value.
type member struct{ name, value sum }

type hasher struct {
	hash    [2]maphash.Hash
	s       scanner
	members []member // of the objects and lists that are open
	small   []byte
}

func (h *hasher) text(text string) (sum, bool) {
	h.s, h.members = scanner{text: text}, h.members[:0]
	v, ok := h.value()
	return v, ok && nonBlank(text, h.s.at) == len(text)
}

// of hashes what parts write, under the kind of the value.
func (h *hasher) of(kind byte, write func(*maphash.Hash)) (v sum) {
	for i := range h.hash {
		h.hash[i].Reset()
		_ = h.hash[i].WriteByte(kind) // it never fails, as the others
		write(&h.hash[i])
		v[i] = h.hash[i].Sum64()
	}
	return v
}

func (h *hasher) value() (sum, bool) {
	switch c := h.s.peek(); c {
	case '{', '[':
		return h.composed(c, c+2)
	case '"':
		return h.string()
	}
	from := h.s.at
	h.s.at = scalarEnd(h.s.text, from)
	h.small = appendNumber(h.small[:0], h.s.text[from:h.s.at]) // or true, false, null
	return h.of('0', func(m *maphash.Hash) { _, _ = m.Write(h.small) }), h.s.at > from
}

func (h *hasher) string() (sum, bool) {
	from := h.s.at
	if !h.s.str() {
		return sum{}, false
	}
	h.small = appendUnescaped(h.small[:0], h.s.text[from+1:h.s.at-1], true)
	return h.of('"', func(m *maphash.Hash) { _, _ = m.Write(h.small) }), true
}

// composed hashes an object or a list.
func (h *hasher) composed(open, closing byte) (sum, bool) {
	h.s.at++
	from := len(h.members)
	for first := true; h.s.peek() != closing; first = false {
		if !first && !h.s.take(',') {
			return sum{}, false
		}
		var m member
		ok := true
		if open == '{' {
			h.s.peek()
			if m.name, ok = h.string(); !ok || !h.s.take(':') {
				return sum{}, false
			}
		}
		if m.value, ok = h.value(); !ok {
			return sum{}, false
		}
		h.members = append(h.members, m)
	}
	h.s.at++
	list := h.members[from:]
	slices.SortStableFunc(list, func(a, b member) int {
		return cmp.Or(cmp.Compare(a.name[0], b.name[0]), cmp.Compare(a.name[1], b.name[1]))
	})
	h.members = h.members[:from]
	return h.of(open, func(hash *maphash.Hash) {
		for _, m := range list {
			for _, n := range [...]uint64{m.name[0], m.name[1], m.value[0], m.value[1]} {
				var b [8]byte
				for i := range b {
					b[i] = byte(n >> (8 * i))
				}
				_, _ = hash.Write(b[:])
			}
		}
	}), true
}

// maxExponent is how many digits of an exponent are calculated with.
const maxExponent = 15

// appendNumber appends a number as its digits, without zeros around them, and
// its power of ten; anything else as it is.
func appendNumber(b []byte, text string) []byte {
	unsigned, negative := strings.CutPrefix(text, "-")
	mantissa, exponent := unsigned, ""
	if at := strings.IndexAny(unsigned, "eE"); at >= 0 && unsigned[0] >= '0' && unsigned[0] <= '9' {
		mantissa, exponent = unsigned[:at], unsigned[at+1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	if len(whole) == 0 || whole[0] < '0' || whole[0] > '9' {
		return append(b, text...) // true, false, null
	}
	power := int64(0)
	if len(exponent) > 0 {
		digits := strings.TrimLeft(strings.TrimLeft(exponent, "+-"), "0")
		if len(digits) > maxExponent {
			if len(strings.Trim(mantissa, "0.")) == 0 {
				return append(b, '0')
			}
			return append(append(b, '='), text...)
		}
		power, _ = strconv.ParseInt("0"+digits, 10, 64)
		if exponent[0] == '-' {
			power = -power
		}
	}
	start := len(b)
	if negative {
		b = append(b, '-')
	}
	at := len(b)
	b = append(append(b, whole...), fraction...)
	digits := bytes.TrimLeft(b[at:], "0")
	if len(digits) == 0 {
		return append(b[:start], '0') // -0, too
	}
	significant := bytes.TrimRight(digits, "0")
	power += int64(len(digits)-len(significant)) - int64(len(fraction))
	b = append(b[:at], significant...)
	return strconv.AppendInt(append(b, 'e'), power, 10)
}
