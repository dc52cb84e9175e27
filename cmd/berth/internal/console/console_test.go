package console

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/wire"
)

func TestLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                                   "",
		"order-audit":                        "order-audit",
		"café, 注文, заказ, 🫖":                 "café, 注文, заказ, 🫖",
		"two  spaces stay ":                  "two  spaces stay ",
		"a\nb":                               "a b",
		"a\r\n\t\tb":                         "a b",
		"\n\ta\n":                            "a",
		"a\u0085b\u2028c\u2029d\ve\ff":       "a b c d e f",
		"\x1b[2J":                            "\ufffd[2J",
		"\x1b]0;title\a":                     "\ufffd]0;title\ufffd",
		"\u009b2J":                           "\ufffd2J",
		"a\x00b\x7fc":                        "a\ufffdb\ufffdc",
		"\u202egnp.exe\u202c":                "\ufffdgnp.exe\ufffd",
		"\u2066x\u2069 \u200e\u200f\u061c":   "\ufffdx\ufffd \ufffd\ufffd\ufffd",
		"zero\u200bwidth\u2060and\ufeffmore": "zero\ufffdwidth\ufffdand\ufffdmore",
		"no\u00a0break\u3000wide":            "no\ufffdbreak\ufffdwide",
		"\u3164\u115f\u2800":                 "\ufffd\ufffd\ufffd",
		"not \xff UTF-8 \xc3":                "not \ufffd UTF-8 \ufffd",
		"\U000e0041\U000f0000":               "\ufffd\ufffd",
	} {
		if got := Line(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestBlock(t *testing.T) {
	for in, want := range map[string]string{
		"":                                   "",
		"one line":                           "one line",
		"panic: x\r\n\tmain.go:7\n":          "panic: x\n      main.go:7",
		"a\nberth: it is done":               "a\n  berth: it is done",
		"a\n\n\tb\x1b[1m":                    "a\n  \n      b\ufffd[1m",
		"a\rb\u2028c":                        "a b c",
		"first\n    deep\n  less\u202e last": "first\n      deep\n    less\ufffd last",
	} {
		if got := block(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// FuzzText checks that any text is one printable line, and that printed JSON is the same JSON.
func FuzzText(f *testing.F) {
	f.Add("a\tb\n\x1b[2J\u202e")
	f.Add("\u009b\ufeff\U0001f1e6")
	f.Fuzz(func(t *testing.T, text string) {
		shown := Line(text)
		for _, r := range shown {
			if printable(r) != r {
				t.Errorf("%q shows %q", text, r)
			}
		}
		if again := Line(shown); again != shown {
			t.Errorf("%q shows as %q, and that as %q", text, shown, again)
		}
		for i, l := range strings.Split(block(text), "\n") {
			if i > 0 && !strings.HasPrefix(l, "  ") {
				t.Errorf("%q has a line of its own: %q", text, l)
			}
		}
		raw, err := json.Marshal(map[string]string{text: text})
		if err != nil {
			t.Fatal(err)
		}
		printed := escaped(raw)
		var want, got any
		if json.Unmarshal(raw, &want) != nil || json.Unmarshal([]byte(printed), &got) != nil || !reflect.DeepEqual(want, got) {
			t.Errorf("%s is printed as %s", raw, printed)
		}
		if strings.ContainsFunc(printed, func(r rune) bool { return printable(r) != r }) {
			t.Errorf("%q has what is not printable", printed)
		}
	})
}

// A text cannot pretend to be more columns than one.
func TestCellsAreOneColumn(t *testing.T) {
	var out strings.Builder
	c := &Console{Out: &out}
	if err := Table(c, "NAME\tSTATE", []string{"a  active", " b\t\tactive "}, func(name string) Cells { return Cells{name, wire.Rejected} }); err != nil {
		t.Fatal(err)
	}
	if want := "NAME      STATE\na active  rejected\nb active  rejected\n"; out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
}

// Only y and yes are a yes, and only at a terminal.
func TestConfirm(t *testing.T) {
	for _, tt := range []struct {
		answer   string
		terminal bool
		yes      bool
	}{
		{"y\n", true, true}, {"yes\n", true, true}, {" YES \r\n", true, true}, {"y", true, true},
		{"", true, false}, {"\n", true, false}, {"n\n", true, false}, {"yess\n", true, false}, {"no\ny\n", true, false}, {"\ny\n", true, false},
		{strings.Repeat(" ", 2000) + "y\n", true, false},
		{"y\n", false, false}, {"yes\n", false, false}, {"", false, false},
	} {
		var asked strings.Builder
		c := &Console{In: strings.NewReader(tt.answer), Err: &asked, AtTerminal: tt.terminal}
		err := c.Confirm("Sure?", "nothing was done")
		if (err == nil) != tt.yes || err != nil && err.Error() != "nothing was done" {
			t.Errorf("%q at a terminal (%v): %v", tt.answer, tt.terminal, err)
		}
		if strings.Contains(asked.String(), "Sure? [y/N]") != tt.terminal {
			t.Errorf("%q at a terminal (%v): asked is %q", tt.answer, tt.terminal, &asked)
		}
	}
}

// TestExactBytes: a program that reads a value gets every byte of it.
func TestExactBytes(t *testing.T) {
	var out strings.Builder
	c := &Console{Out: &out}
	value := "a\x1b[31m\r\n\xff\x00"
	if err := c.PrintExact([]byte(value)); err != nil || out.String() != value {
		t.Errorf("got %q, %v, want %q", out.String(), err, value)
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1 << 20: "1.0 MiB", 5 << 29: "2.5 GiB", 1<<63 - 1: "8.0 EiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}
