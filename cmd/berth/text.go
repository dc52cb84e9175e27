package main

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode/utf8"
)

// Everything a command prints goes through this file: names, reasons, results,
// errors and logs are the words of others, and none of them may steer the
// terminal, forge a row of a table or hide what it says. TestOnlyTheTextFilePrints
// holds it.

// line is text from outside as one line. A run of line ends and tabs is one space;
// what else is not printed, such as the beginning of an escape sequence or a change
// of the direction of writing, is U+FFFD.
func line(s string) string {
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

// block is text from outside in which lines mean something, such as a stack trace.
// Each line is as line has it, but for tabs, and begins further to the right than
// the first.
func block(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\t", "    ")
	lines := strings.Split(strings.Trim(s, "\r\n"), "\n")
	for i := range lines {
		text := strings.TrimRight(lines[i], " ")
		indent := len(text) - len(strings.TrimLeft(text, " "))
		if lines[i] = text[:indent] + line(text[indent:]); i > 0 {
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

// printable is the character that is shown for this one.
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

// lines is text that is printed as block has it, not as line.
type lines string

// clean is an argument of a format: text is printed as one line.
func clean(arg any) any {
	switch v := arg.(type) {
	case lines:
		return block(string(v))
	case []byte:
		return line(string(v))
	case json.RawMessage:
		return line(string(v))
	case error:
		return line(v.Error())
	case fmt.Stringer:
		return line(v.String())
	}
	if v := reflect.ValueOf(arg); v.Kind() == reflect.String {
		return line(v.String())
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

// print prints on standard output. The format is of this program, the arguments are
// not.
func (a *app) print(format string, args ...any) error {
	_, err := fmt.Fprintf(a.stdout, format, cleaned(args)...)
	return err
}

// note is print on standard error.
func (a *app) note(format string, args ...any) {
	_, _ = fmt.Fprintf(a.stderr, format, cleaned(args)...) // there is nowhere else to say it
}

// printJSON prints one JSON value. What is not printable in its strings is escaped.
func (a *app) printJSON(text []byte) error {
	_, err := io.WriteString(a.stdout, escaped(text)+"\n")
	return err
}

// encodeJSON prints a value as JSON, indented or on one line.
func (a *app) encodeJSON(v any, indent bool) error {
	text, err := json.Marshal(v)
	if indent {
		text, err = json.MarshalIndent(v, "", "  ")
	}
	if err != nil {
		return err
	}
	return a.printJSON(text)
}

// escaped is JSON with every character that is not printable as \u and four digits.
// Outside of strings there is none but white space.
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

// cells are the columns of a row.
type cells []any

// withDashes returns columns with a dash where there is no text.
func withDashes(texts ...string) cells {
	filled := make(cells, len(texts))
	for i, text := range texts {
		if filled[i] = line(text); filled[i] == "" {
			filled[i] = "-"
		}
	}
	return filled
}

// table prints rows with aligned columns; the titles are separated by tabs.
func (a *app) table(titles string, n int, cellsOf func(int) cells) error {
	s := a.newSheet()
	s.title(titles)
	for i := range n {
		s.line(cellsOf(i)...)
	}
	return s.flush()
}

// page is table for a part of a longer list: next is where to go on, nil at its end.
func (a *app) page(titles string, next *string, n int, cellsOf func(int) cells) error {
	err := a.table(titles, n, cellsOf)
	if err == nil && next != nil {
		a.note("There are more: go on with --cursor %s.\n", *next)
	}
	return err
}

// sheet aligns the columns of rows on standard output.
type sheet struct{ w *tabwriter.Writer }

func (a *app) newSheet() sheet { return sheet{tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)} }

// title adds a line of words of this program, separated by tabs.
func (s sheet) title(titles string) { _, _ = fmt.Fprintln(s.w, titles) } // flush has the error

// line adds a line of words of others. Two spaces are between columns, so there is
// one at most between words.
func (s sheet) line(cols ...any) {
	for i, col := range cleaned(cols) {
		if i > 0 {
			_, _ = io.WriteString(s.w, "\t") // flush has the error
		}
		if text, ok := col.(string); ok {
			col = strings.Join(strings.Fields(text), " ")
		}
		_, _ = fmt.Fprint(s.w, col)
	}
	_, _ = io.WriteString(s.w, "\n")
}

func (s sheet) flush() error { return s.w.Flush() }
