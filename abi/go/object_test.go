package berth

import (
	"encoding/json"
	"math"
	"strconv"
	"testing"
)

func TestObject(t *testing.T) {
	var o Object
	if got := o.Text(); got != "{}" {
		t.Errorf("empty: got %s", got)
	}
	o.Str("a\"", "b\n\x00\xff\u2028é").Int("n", math.MinInt64).Bool("t", true).Strs("l", []string{"x", "y"}).Strs("e", nil).Raw("r", "null")
	want := `{"a\"":"b\u000a\u0000\ufffd` + "\u2028é" + `","n":-9223372036854775808,"t":true,"l":["x","y"],"e":[],"r":null}`
	if got := o.Text(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	o.Int("more", 1)
	if got := o.Text(); !json.Valid([]byte(got)) {
		t.Errorf("after Text: %s", got)
	}
}

// FuzzAppendString compares appendString with encoding/json.
// The object that has returned a result is a new one, and does not change that result.
func TestObjectIsEmptyAfterResult(t *testing.T) {
	var o Object
	first, _ := o.Str("a", "b").Result().Text()
	second, _ := o.Int("n", 1).Result().Text()
	third, _ := o.Result().Text()
	if first != `{"a":"b"}` || second != `{"n":1}` || third != "{}" {
		t.Errorf("got %s, %s, %s", first, second, third)
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("plain")
	f.Add("\"\\\x00\x1f\x7f\x80\xff\xed\xa0\x80é\u2028😀\ufffd")
	f.Fuzz(func(t *testing.T, s string) {
		text := appendString(nil, s)
		var got, want string
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		standard, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(standard, &want); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// FuzzParseInt compares parseInt with strconv.
func FuzzParseInt(f *testing.F) {
	for _, s := range []string{"", "-", "0", "-0", "007", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "99999999999999999999", "1.0", "1e3", "+1", "--1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseInt([]byte(s))
		want, err := strconv.ParseInt(s, 10, 64)
		switch {
		case ok && (err != nil || got != want):
			t.Errorf("%q: got %d, want %d, %v", s, got, want, err)
		case !ok && err == nil && s[0] != '+' && len(s) < 20:
			t.Errorf("%q: refused, want %d", s, want)
		}
	})
}
