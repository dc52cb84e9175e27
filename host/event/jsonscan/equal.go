package jsonscan

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Equal reports whether two valid JSON texts have the same value: members of an
// object in any order, numbers by their exact decimal value (1, 1.0 and 10e-1;
// 0 and -0), strings by their characters. Of a name that an object has twice the
// order counts, because readers differ in which they take. Numbers with an
// exponent of more than 15 digits are compared as they are written.
//
// It compares hashes of 128 bits under seeds of its own, in one pass over each
// text and in memory for the members of one path.
func Equal(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	h := hasher{}
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

func (h *hasher) text(text []byte) (sum, bool) {
	h.s, h.members = scanner{text: text}, h.members[:0]
	v, ok := h.value()
	return v, ok && Space(text, h.s.at) == len(text)
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
	for h.s.at < len(h.s.text) && bytes.IndexByte([]byte(" \t\r\n,]}"), h.s.text[h.s.at]) < 0 {
		h.s.at++
	}
	h.small = appendNumber(h.small[:0], h.s.text[from:h.s.at]) // or true, false, null
	return h.of('0', func(m *maphash.Hash) { _, _ = m.Write(h.small) }), h.s.at > from
}

func (h *hasher) string() (sum, bool) {
	from := h.s.at
	if !h.s.str() {
		return sum{}, false
	}
	inside := h.s.text[from+1 : h.s.at-1]
	if bytes.IndexByte(inside, '\\') >= 0 {
		h.small = appendCharacters(h.small[:0], inside)
		inside = h.small
	}
	return h.of('"', func(m *maphash.Hash) { _, _ = m.Write(inside) }), true
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
func appendNumber(b, text []byte) []byte {
	rest, negative := bytes.CutPrefix(text, []byte("-"))
	mantissa, exponent := rest, []byte(nil)
	if at := bytes.IndexAny(rest, "eE"); at >= 0 && rest[0] >= '0' && rest[0] <= '9' {
		mantissa, exponent = rest[:at], rest[at+1:]
	}
	whole, fraction, _ := bytes.Cut(mantissa, []byte("."))
	if len(whole) == 0 || whole[0] < '0' || whole[0] > '9' {
		return append(b, text...) // true, false, null
	}
	power := int64(0)
	if len(exponent) > 0 {
		digits := bytes.TrimLeft(bytes.TrimLeft(exponent, "+-"), "0")
		if len(digits) > maxExponent {
			if len(bytes.Trim(mantissa, "0.")) == 0 {
				return append(b, '0')
			}
			return append(append(b, '='), text...)
		}
		power, _ = strconv.ParseInt("0"+string(digits), 10, 64)
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

// appendCharacters appends the inside of a string with its escapes resolved. Half
// of a surrogate pair stays what it is, unlike any character.
func appendCharacters(b, inside []byte) []byte {
	for at := 0; at < len(inside); at++ {
		c := inside[at]
		if c != '\\' || at+1 == len(inside) {
			b = append(b, c)
			continue
		}
		at++
		switch c = inside[at]; c {
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			unit, ok := escapedUnit(inside, at)
			if !ok {
				return append(b, inside[at:]...)
			}
			at += 4
			if low, ok := escapedUnit(inside, at+2); ok && inside[at+1] == '\\' && unit>>10 == 0xd800>>10 && low>>10 == 0xdc00>>10 {
				unit, at = 0x10000+(unit&0x3ff)<<10+low&0x3ff, at+6
			}
			if unit>>11 == 0xd800>>11 {
				b = append(b, 0xed, 0x80|byte(unit>>6&0x3f), 0x80|byte(unit&0x3f))
				continue
			}
			b = utf8.AppendRune(b, unit)
		default:
			b = append(b, c)
		}
	}
	return b
}
