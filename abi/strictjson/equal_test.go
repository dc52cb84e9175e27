package strictjson_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/abi/strictjson"
)

func TestEqual(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{`{"a":1,"b":2}`, `{"b":2,"a":1}`, true},
		{`{"a":1,"b":2}`, ` { "b" : 2 , "a" : 1 } `, true},
		{`{"a":{"x":1,"y":[]},"b":[{"c":1,"d":2}]}`, `{"b":[{"d":2,"c":1}],"a":{"y":[],"x":1}}`, true},
		{`{"a":1,"b":2}`, `{"a":2,"b":1}`, false},
		{`{"a":1,"b":2}`, `{"a":1}`, false},
		{`{"a":1,"b":null}`, `{"a":1}`, false},
		{`{"a":1,"a":2}`, `{"a":2,"a":1}`, false},
		{`{"a":1,"a":2}`, `{"a":2}`, false},
		{`{"a":1,"b":0,"a":2}`, `{"a":1,"a":2,"b":0}`, true},
		{`{"":1}`, `{"":1.0}`, true},
		{`[1,2]`, `[2,1]`, false},
		{`[[1],2]`, `[1,[2]]`, false},
		{`[[],[]]`, `[[]]`, false},
		{`[]`, `{}`, false},
		{`[]`, `null`, false},
		{`[""]`, `[]`, false},
		{`["a","b"]`, `["ab"]`, false},
		{`{"a":["b"]}`, `{"a":{"b":null}}`, false},
		{`"a"`, `"\u0061"`, true},
		{`"/"`, `"\/"`, true},
		{`"\n\t\b\f\r\"\\"`, `"\u000a\u0009\u0008\u000C\u000d\u0022\u005c"`, true},
		{`"😀"`, `"\ud83d\uDE00"`, true},
		{`{"\u0061":1}`, `{"a":1}`, true},
		{`"\ud800"`, `"\udc00"`, false},
		{`"\ud800"`, `"\ufffd"`, false},
		{`"\ud800"`, `"\uD800"`, true},
		{`"\ud83d\ud83d\ude00"`, `"\ud83d😀"`, true},
		{`"é"`, `"e\u0301"`, false},
		{`"A"`, `"a"`, false},
		{`"1"`, `1`, false},
		{`"null"`, `null`, false},
		{`true`, `"true"`, false},
		{`true`, `false`, false},
		{`null`, `false`, false},
		{`1`, `1.0`, true},
		{`1`, `1e0`, true},
		{`1`, `10e-1`, true},
		{`1`, `0.1E+1`, true},
		{`100`, `1e2`, true},
		{`1e400`, `10e399`, true},
		{`1e400`, `1e401`, false},
		{`0`, `-0`, true},
		{`0`, `0e999999999999999999999999`, true},
		{`0.0`, `-0.00e-5`, true},
		{`1`, `-1`, false},
		{`1e999999999999999999999`, `1e999999999999999999999`, true},
		{`1e999999999999999999999`, `1e999999999999999999998`, false},
		{`1e000000000000000000002`, `100`, true},
		{`9007199254740993`, `9007199254740992`, false},
		{`0.1`, `0.10000000000000000001`, false},
		{`123456789012345678901234567890`, `123456789012345678901234567890.000`, true},
		{`10`, `1`, false},
		{`1e1`, `1e-1`, false},
		{`1.5`, `15`, false},
	} {
		for _, pair := range [][2]string{{tt.a, tt.b}, {tt.b, tt.a}, {"[" + tt.a + "]", "[ " + tt.b + "]"}, {`{"k":` + tt.a + "}", `{"k": ` + tt.b + "}"}} {
			if got := strictjson.Equal([]byte(pair[0]), []byte(pair[1])); got != tt.want {
				t.Errorf("Equal(%s, %s) = %v, want %v", pair[0], pair[1], got, tt.want)
			}
		}
	}
}

// respell writes a value in another way.
func respell(r *rand.Rand, v any) string {
	gap := func() string { return strings.Repeat(" ", r.IntN(2)) }
	switch v := v.(type) {
	case map[string]any:
		var members []string
		for name, inner := range v {
			members = append(members, gap()+respell(r, name)+gap()+":"+respell(r, inner))
		}
		r.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		return gap() + "{" + strings.Join(members, ",") + gap() + "}"
	case []any:
		var items []string
		for _, inner := range v {
			items = append(items, respell(r, inner)+gap())
		}
		return "[" + gap() + strings.Join(items, ",") + "]"
	case string:
		var b strings.Builder
		b.WriteByte('"')
		for _, c := range v {
			switch {
			case c < 0x10000 && r.IntN(3) == 0 || c < ' ' || c == '"' || c == '\\':
				fmt.Fprintf(&b, `\u%04X`, c)
			default:
				b.WriteRune(c)
			}
		}
		return b.String() + `"`
	case int:
		switch r.IntN(3) {
		case 0:
			return strconv.Itoa(v) + ".0"
		case 1:
			return strconv.Itoa(v) + "0e-1"[min(1, max(0, 1-v*v)):] // no leading zero for 0
		}
		return strconv.Itoa(v)
	}
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func values(depth int) *rapid.Generator[any] {
	text := rapid.StringOfN(rapid.RuneFrom([]rune("ab\"\\/\n😀é")), 0, 4, -1)
	scalars := []*rapid.Generator[any]{
		rapid.Just[any](nil), rapid.Just[any](true), rapid.Just[any](false), rapid.Map(text, func(s string) any { return s }),
		rapid.Map(rapid.IntRange(1, 50), func(n int) any { return n }),
	}
	if depth == 0 {
		return rapid.OneOf(scalars...)
	}
	inner := values(depth - 1)
	return rapid.OneOf(append(scalars,
		rapid.Map(rapid.SliceOfN(inner, 0, 4), func(list []any) any { return list }),
		rapid.Map(rapid.MapOfN(text, inner, 0, 4), func(m map[string]any) any { return m }))...)
}

// A value is equal to itself in every spelling, and to no other one.
func TestEqualComparesValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := values(3).Draw(t, "a"), values(3).Draw(t, "b")
		seed := rapid.Uint64().Draw(t, "seed")
		r := rand.New(rand.NewPCG(seed, 1))
		one, again, other := respell(r, a), respell(r, a), respell(r, b)
		if !json.Valid([]byte(one)) {
			t.Fatalf("%s is no JSON", one)
		}
		if !strictjson.Equal([]byte(one), []byte(again)) {
			t.Fatalf("%s and %s are equal", one, again)
		}
		x, _ := json.Marshal(a)
		y, _ := json.Marshal(b)
		if got, want := strictjson.Equal([]byte(one), []byte(other)), string(x) == string(y); got != want {
			t.Fatalf("Equal(%s, %s) = %v", one, other, got)
		}
	})
}

// FuzzEqual: numbers are compared as rational numbers are, and nothing panics.
func FuzzEqual(f *testing.F) {
	f.Add(`1`, `1.0`)
	f.Add(`-12.50e3`, `-1250E+1`)
	f.Add(`"\ud83d\ude00`, `{"a":[`)
	f.Fuzz(func(t *testing.T, a, b string) {
		same := strictjson.Equal([]byte(a), []byte(b))
		if a == b && !same {
			t.Fatalf("%q is not equal to itself", a)
		}
		if !json.Valid([]byte(a)) || !json.Valid([]byte(b)) || len(a) > 40 || len(b) > 40 || !strings.ContainsAny(a[:1], "-0123456789") || !strings.ContainsAny(b[:1], "-0123456789") {
			return
		}
		for _, text := range []string{a, b} {
			if _, exponent, _ := strings.Cut(strings.ToLower(text), "e"); len(strings.Trim(exponent, " \t\r\n")) > 4 {
				return
			}
		}
		x, ok1 := new(big.Rat).SetString(strings.TrimSpace(a))
		y, ok2 := new(big.Rat).SetString(strings.TrimSpace(b))
		if ok1 && ok2 && (x.Cmp(y) == 0) != same {
			t.Fatalf("Equal(%s, %s) = %v", a, b, same)
		}
	})
}

func BenchmarkEqual(b *testing.B) {
	one := []byte(`{"id":"o-1","customer_id":"ada","total_cents":12345,"items":[{"sku":"TEAPOT","quantity":1,"unit_price_cents":12345}],"status":"paid"}`)
	other := []byte(`{"status":"paid","customer_id":"ada","total_cents":12345,"items":[{"quantity":1,"sku":"TEAPOT","unit_price_cents":12345}],"id":"o-1"}`)
	b.SetBytes(int64(len(one)))
	b.ReportAllocs()
	for b.Loop() {
		if !strictjson.Equal(one, other) {
			b.Fatal("they are equal")
		}
	}
}
