package attemptlog

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/spec"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// shown has the levels and texts of lines.
func shown(lines []spec.GuestLine) string {
	var list []string
	for _, line := range lines {
		list = append(list, line.Level+" "+line.Message)
	}
	return strings.Join(list, "; ")
}

func TestLinesOfAnAttempt(t *testing.T) {
	var l Log
	if got := l.Lines(noon); got != nil {
		t.Errorf("an empty log has %v", got)
	}
	l.Add(noon.Add(-1), "warn", "one")
	l.Write(noon, []byte("tw"))
	l.Write(noon, []byte("o\r\n\n  \nthree\n\xfffour"))
	got := l.Lines(noon)
	if want := "warn one; info two; info three; info \uFFFDfour"; shown(got) != want {
		t.Errorf("got %s, want %s", shown(got), want)
	}
	if !got[0].At.Equal(noon.Add(-1)) || !got[3].At.Equal(noon) {
		t.Errorf("the times are %v and %v", got[0].At, got[3].At)
	}
	l.Reset()
	if got := l.Lines(noon); got != nil {
		t.Errorf("after Reset: %v", got)
	}
}

// Of many lines the first and the last are kept, with the number of the others between.
func TestFirstAndLastLinesAreKept(t *testing.T) {
	var l Log
	const n = 5000
	for i := range n {
		l.Add(noon.Add(time.Duration(i)), "info", fmt.Sprintf("line %d", i))
	}
	lines := l.Lines(noon)
	marker := slices.IndexFunc(lines, func(line spec.GuestLine) bool { return strings.HasSuffix(line.Message, "omitted") })
	if marker < 10 || marker > len(lines)-100 {
		t.Fatalf("the marker is line %d of %d", marker, len(lines))
	}
	for i, line := range lines {
		want := fmt.Sprintf("line %d", i)
		if i == marker {
			want = fmt.Sprintf("%d lines between these are omitted", n-len(lines)+1)
		} else if i > marker {
			want = fmt.Sprintf("line %d", n-len(lines)+i)
		}
		if line.Message != want {
			t.Fatalf("line %d is %q, want %q", i, line.Message, want)
		}
	}
}

// Whatever is logged, the lines are within the bound, the last one is kept, and the number
// of those that are not is right.
func TestLogIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l Log
		l.Add(noon, "error", "of the attempt before")
		l.Reset()
		texts := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
			return strings.Repeat(rapid.SampledFrom([]string{"x", "é", "€"}).Draw(t, "char"), rapid.IntRange(1, rapid.SampledFrom([]int{3, 300, 9000}).Draw(t, "up to")).Draw(t, "length"))
		}), 1, 300).Draw(t, "lines")
		for _, text := range texts {
			if rapid.Bool().Draw(t, "written") {
				l.Write(noon, []byte(text+"\n"))
			} else {
				l.Add(noon, "debug", text)
			}
		}
		lines := l.Lines(noon)
		size, omitted, kept := 0, 0, len(lines)
		for i, line := range lines {
			size += len(line.Message) + spec.GuestLineSize
			if !utf8.ValidString(line.Message) || line.Message == "" {
				t.Fatalf("line %d is %q", i, line.Message)
			}
			if _, err := fmt.Sscanf(line.Message, omittedText, &omitted); err == nil {
				kept--
			}
		}
		if size > spec.MaxAttemptLog || kept+omitted != len(texts) {
			t.Fatalf("%d lines of %d bytes of %d, and %d omitted", kept, size, len(texts), omitted)
		}
		last, want := lines[len(lines)-1].Message, texts[len(texts)-1]
		if len(want) <= maxLine && last != want || !strings.HasPrefix(want, strings.TrimRight(last, ellipsis+"\uFFFD")) {
			t.Fatalf("the last line is %q, want %q", last, want)
		}
	})
}

// An attempt that logs nothing costs no allocation, nor does one that logs as much as the
// one before, besides its texts.
func TestMemoryIsReused(t *testing.T) {
	var l Log
	if n := testing.AllocsPerRun(100, func() {
		l.Lines(noon)
		l.Reset()
	}); n != 0 {
		t.Errorf("%v allocations without a line", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		for range 10 {
			l.Add(noon, "info", "text")
		}
		l.Lines(noon)
		l.Reset()
	}); n != 0 {
		t.Errorf("%v allocations for ten lines", n)
	}
}
