package route_test

import (
	"fmt"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/spec"
)

// takes answers whether an event with this data meets the condition.
func takes(t testing.TB, when, data string) bool {
	t.Helper()
	ok, err := newTable(t, spec.Route{Pattern: "*", When: when}).Takes("h", nil, newEvent(t, "t", data))
	if err != nil {
		t.Errorf("%s on %.60s: %v", when, data, err)
	}
	return ok
}

// TestConditionsCompareEveryNumber by its value, and no number makes the data unreadable.
func TestConditionsCompareEveryNumber(t *testing.T) {
	for _, tt := range []struct {
		data, when string
		want       bool
	}{
		{`{"total":20000,"sensor":1e400}`, `data.total > 10000`, true},
		{`{"a":[1,{"b":-1e400}],"total":1}`, `data.total == 1 && data.a[0] == 1`, true},
		{`1e400`, `data > 10000`, true},
		{`1e400`, `data > 18446744073709551615u`, true},
		{`-1e400`, `data < -9223372036854775807`, true},
		{`1e-400`, `data == 0`, true},
		{`1e99999999999999999999`, `data > 1`, true},
		{`1e-99999999999999999999`, `data == 0`, true},
		{`0e99999999999999999999`, `data == 0`, true},
		{`-0`, `data == 0`, true},
		{`1E+2`, `data == 100`, true},
		{`9007199254740991`, `data == 9007199254740991`, true},
		{`9007199254740992`, `data == 9007199254740993`, false},
		{`9007199254740993`, `data == 9007199254740993`, true},
		{`9007199254740993`, `data > 9007199254740992`, true},
		{`9007199254740993`, `9007199254740992 < data`, true},
		{`9007199254740993`, `data in [9007199254740992]`, false},
		{`9007199254740993`, `data in [9007199254740993]`, true},
		{`[9007199254740993]`, `data == [9007199254740993]`, true},
		{`[9007199254740993]`, `data == [9007199254740992]`, false},
		{`-9007199254740993`, `data == -9007199254740993`, true},
		{`-9007199254740993`, `data == -9007199254740992`, false},
		{`9223372036854775807`, `data == 9223372036854775807`, true},
		{`9223372036854775807`, `data == 9223372036854775806`, false},
		{`-9223372036854775808`, `data == -9223372036854775808`, true},
		{`9223372036854775808`, `data == 9223372036854775808u`, true},
		{`9223372036854775808`, `data > 9223372036854775807`, true},
		{`18446744073709551615`, `data == 18446744073709551615u`, true},
		{`18446744073709551615`, `data == 18446744073709551614u`, false},
		{`1.8446744073709551615e19`, `data == 18446744073709551615u`, true},
		{`1e16`, `data == 10000000000000001`, false},
		{`10000000000000001.0`, `data == 10000000000000001`, true},
		{`1000000000000000100e-2`, `data == 10000000000000001`, true},
		{`0.00010000000000000001e20`, `data == 10000000000000001`, true},
		{`100000000000000000000`, `data > 18446744073709551615u`, true},
		{`9007199254740993`, `data * 1.5 > 100.0`, true},
		{`9007199254740993`, `1.5 + data > 100.0`, true},
		{`{"a":9007199254740993,"b":1}`, `data.a + data.b > 100`, true},
		{`{"a":9007199254740993,"b":1}`, `data.b - data.a < 0`, true},
		{`{"a":9007199254740993,"b":1}`, `data.a / data.b > 1`, true},
		{`18446744073709551615`, `data + 1.0 > 1`, true},
		{`"\ud800"`, `data == "\uFFFD"`, true},
		{`{"a":1,"a":2}`, `data.a == 2`, true},
		{`{"x":"\u0000","n":1}`, `data.n == 1 && data.x.size() == 1`, true},
		{strings.Repeat("[", 1000) + strings.Repeat("]", 1000), `data.size() == 1`, true},
	} {
		if got := takes(t, tt.when, tt.data); got != tt.want {
			t.Errorf("%s on %.60s: %v, want %v", tt.when, tt.data, got, tt.want)
		}
	}
}

// TestIntegersCompareExactly in every notation of JSON.
func TestIntegersCompareExactly(t *testing.T) {
	table := newTable(t, spec.Route{Pattern: "*", When: "data[0] == int(data[1])"})
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.Int64().Draw(r, "n")
		m := n + rapid.Int64Range(-1, 1).Draw(r, "further")
		if (m > n) != (m-n == 1) { // it has overflowed
			m = n
		}
		text := big.NewInt(n).String()
		switch rapid.IntRange(0, 2).Draw(r, "spelling") {
		case 1:
			text += ".000"
		case 2:
			text += ".0E+0"
		}
		ok, err := table.Takes("h", nil, newEvent(t, "t", fmt.Sprintf(`[%s,"%d"]`, text, m)))
		if err != nil || ok != (n == m) {
			r.Fatalf("%s == %d: %v, %v", text, m, ok, err)
		}
	})
}
