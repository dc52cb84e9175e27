// Package console prints for people and asks them. Names, reasons, results, errors and logs
// come from other parties: no such text may steer the terminal, forge a line of a table or
// hide its content. All output of the commands goes through this package;
// TestOnlyTheConsolePrints checks it.
package console

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/berth-host/berth/host/wire"
)

// Console has the streams of one command.
type Console struct {
	In       io.Reader
	Out, Err io.Writer

	AtTerminal bool // In is a person, although it is not a terminal
}

// Line returns text of other parties as one line. A run of line ends and tabs is one space;
// other characters that are not printable, such as the start of an escape sequence or a
// change of the writing direction, are U+FFFD.
func Line(s string) string {
	var b strings.Builder
	blank := false
	for _, r := range s {
		if breaks(r) {
			blank = true
			continue
		}
		if blank && b.Len() > 0 {
			b.WriteByte(' ')
		}
		blank = false
		b.WriteRune(printable(r))
	}
	return b.String()
}

// block returns text of other parties whose lines matter, such as a stack trace. Each line
// is as Line returns it, except for tabs, and is indented from the second on.
func block(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\t", "    ")
	lines := strings.Split(strings.Trim(s, "\r\n"), "\n")
	for i := range lines {
		text := strings.TrimRight(lines[i], " ")
		indent := len(text) - len(strings.TrimLeft(text, " "))
		if lines[i] = text[:indent] + Line(text[indent:]); i > 0 {
			lines[i] = "  " + lines[i]
		}
	}
	return strings.Join(lines, "\n")
}

// breaks reports whether a character ends a line or advances to a column.
func breaks(r rune) bool {
	switch r {
	case '\n', '\r', '\t', '\v', '\f', '\u0085', '\u2028', '\u2029':
		return true
	}
	return false
}

// printable returns the character that is shown for this one.
func printable(r rune) rune {
	if !strconv.IsPrint(r) || invisible(r) {
		return utf8.RuneError
	}
	return r
}

// invisible reports whether a character counts as a letter and shows as nothing.
func invisible(r rune) bool {
	switch r {
	case '\u115f', '\u1160', '\u2800', '\u3164', '\uffa0':
		return true
	}
	return false
}

// Lines is text that is printed on several lines: see block.
type Lines string

// clean returns an argument of a format, whose text is printed as one line.
func clean(arg any) any {
	switch v := arg.(type) {
	case Lines:
		return block(string(v))
	case []byte:
		return Line(string(v))
	case json.RawMessage:
		return Line(string(v))
	case error:
		return Line(v.Error())
	case fmt.Stringer:
		return Line(v.String())
	}
	if v := reflect.ValueOf(arg); v.Kind() == reflect.String {
		return Line(v.String())
	}
	return arg
}

func cleaned(args []any) []any {
	out := make([]any, len(args))
	for i, arg := range args {
		out[i] = clean(arg)
	}
	return out
}

// Print prints on standard output. The format must be a constant of this program.
func (c *Console) Print(format string, args ...any) error {
	_, err := fmt.Fprintf(c.Out, format, cleaned(args)...)
	return err
}

// Note prints on standard error, likewise.
func (c *Console) Note(format string, args ...any) {
	_, _ = fmt.Fprintf(c.Err, format, cleaned(args)...)
}

// PrintExact prints bytes as they are, without a line end. At a terminal it prints them as
// Lines, with a line end.
func (c *Console) PrintExact(value []byte) error {
	if IsTerminal(c.Out) {
		return c.Print("%s\n", Lines(value))
	}
	_, err := c.Out.Write(value)
	return err
}

// PrintJSON prints one JSON value. Characters of its strings that are not printable are
// escaped.
func (c *Console) PrintJSON(text []byte) error {
	_, err := io.WriteString(c.Out, escaped(text)+"\n")
	return err
}

// EncodeJSON prints a value as JSON, indented or on one line.
func (c *Console) EncodeJSON(v any, indent bool) error {
	text, err := json.Marshal(v)
	if indent {
		text, err = json.MarshalIndent(v, "", "  ")
	}
	if err != nil {
		return err
	}
	return c.PrintJSON(text)
}

// escaped returns JSON with every character that is not printable as \u and four digits.
// Outside of strings JSON has no such character.
func escaped(text []byte) string {
	var b strings.Builder
	for _, r := range strings.TrimSpace(string(text)) {
		switch {
		case r == '\n' || r == '\t' || r == '\r' || printable(r) == r:
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// Cells are the columns of a line of a table.
type Cells []any

// WithDashes returns columns with a dash for each empty text.
func WithDashes(texts ...string) Cells {
	filled := make(Cells, len(texts))
	for i, text := range texts {
		if filled[i] = Line(text); filled[i] == "" {
			filled[i] = "-"
		}
	}
	return filled
}

// Table prints a line for each item, with aligned columns; the titles are separated by tabs.
func Table[T any](c *Console, titles string, items []T, cells func(T) Cells) error {
	s := c.NewSheet()
	s.Title(titles)
	for _, item := range items {
		s.Add(cells(item)...)
	}
	return s.Flush()
}

// Page is Table for a page of a list. It notes how to get the next page.
func Page[T any](c *Console, titles string, list wire.List[T], cells func(T) Cells) error {
	err := Table(c, titles, list.Items, cells)
	if err == nil && list.Next != nil {
		c.Note("There are more: continue with --cursor %s.\n", *list.Next)
	}
	return err
}

// Sheet aligns the columns of lines on standard output.
type Sheet struct{ w *tabwriter.Writer }

// NewSheet returns an empty sheet.
func (c *Console) NewSheet() Sheet { return Sheet{tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)} }

// Title adds a line of words of this program, separated by tabs.
func (s Sheet) Title(titles string) { _, _ = fmt.Fprintln(s.w, titles) } // Flush returns the error

// Add adds a line of words of other parties. Columns are separated by two spaces, so words
// within one are separated by one at most.
func (s Sheet) Add(cols ...any) {
	for i, col := range cleaned(cols) {
		if i > 0 {
			_, _ = io.WriteString(s.w, "\t") // Flush returns the error
		}
		if text, ok := col.(string); ok {
			col = strings.Join(strings.Fields(text), " ")
		}
		_, _ = fmt.Fprint(s.w, col)
	}
	_, _ = io.WriteString(s.w, "\n")
}

// Flush prints the sheet.
func (s Sheet) Flush() error { return s.w.Flush() }

// Clock returns a local time, for people.
func Clock(t time.Time) string { return t.Local().Format(time.DateTime) }

// ClockOr is Clock, with a dash for nil.
func ClockOr(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return Clock(*t)
}

// Or returns the value that p points to, or otherwise if p is nil.
func Or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// Count returns a number with its noun, in the plural except for 1.
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Bytes returns a number of bytes, for people.
func Bytes(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, prefixes := float64(n)/unit, "KMGTPE"
	for value >= unit && len(prefixes) > 1 {
		value, prefixes = value/unit, prefixes[1:]
	}
	return fmt.Sprintf("%.1f %ciB", value, prefixes[0])
}
