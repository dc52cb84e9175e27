// Package report has the tables of measurements, in Markdown, and medians with their
// ranges. Plain values; not safe for concurrent use.
package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Table is a table of a document.
type Table struct {
	Title  string
	Header []string
	lines  [][]string
	Notes  []string // sentences below it
}

// Add adds a line; its cells are strings or Series.
func (t *Table) Add(cells ...any) {
	line := make([]string, len(cells))
	for i, cell := range cells {
		line[i] = fmt.Sprint(cell)
	}
	t.lines = append(t.lines, line)
}

// WriteTo writes the table as Markdown.
func (t *Table) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n| %s |\n|%s\n", t.Title, strings.Join(t.Header, " | "), strings.Repeat("---|", len(t.Header)))
	for _, line := range t.lines {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(line, " | "))
	}
	for i, note := range t.Notes {
		fmt.Fprintf(&b, "%s- %s\n", strings.Repeat("\n", 1-min(i, 1)), note)
	}
	n, err := io.WriteString(w, b.String()+"\n")
	return int64(n), err
}

// Series is a figure of several runs. It prints as the median, and the range if there were
// several runs: "12,345 (11,900 to 12,800)".
type Series []float64

// Median returns the median, the lower of two; NaN for no runs.
func (s Series) Median() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	return slices.Sorted(slices.Values(s))[(len(s)-1)/2]
}

// String implements fmt.Stringer.
func (s Series) String() string {
	switch len(s) {
	case 0:
		return "–"
	case 1:
		return Figure(s[0])
	}
	return fmt.Sprintf("%s (%s to %s)", Figure(s.Median()), Figure(slices.Min(s)), Figure(slices.Max(s)))
}

// Milliseconds returns a duration as a figure.
func Milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// PerSecond returns n events in a time as a figure.
func PerSecond(n int, in time.Duration) float64 { return float64(n) / in.Seconds() }

// Figure prints three digits, or all of a whole number with commas.
func Figure(x float64) string {
	switch {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return "–"
	case math.Abs(x) < 99.95:
		return strconv.FormatFloat(x, 'g', 3, 64)
	}
	digits := strconv.FormatFloat(math.Round(x), 'f', -1, 64)
	sign, digits := digits[:len(digits)-len(strings.TrimPrefix(digits, "-"))], strings.TrimPrefix(digits, "-")
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}
