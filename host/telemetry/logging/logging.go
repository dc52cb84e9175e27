// Package logging makes the host's log: lines of text or JSON on a stream.
//
// Texts in a line can come from guests, publishers, marketplaces and peers. None of them can
// make a line look like another one: each record is exactly one line, keys are the host's, and
// characters that could steer a terminal or hide text are escaped or U+FFFD.
package logging

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/berth-host/berth/host/fault"
)

// The formats of a log.
const (
	Text = "text" // key=value, for people
	JSON = "json" // one object a line, for programs
)

// New returns a logger that writes records of at least this level, debug, info, warn or error,
// to w, one line each. Errors are fault.Invalid. The logger is safe for concurrent use; w gets
// one Write a record, one at a time.
func New(w io.Writer, format, level string) (*slog.Logger, error) {
	options := &slog.HandlerOptions{}
	switch level {
	case "debug":
		options.Level = slog.LevelDebug
	case "info":
		options.Level = slog.LevelInfo
	case "warn":
		options.Level = slog.LevelWarn
	case "error":
		options.Level = slog.LevelError
	default:
		return nil, fault.New(fault.Invalid, "%s is not a level of the log: use debug, info, warn or error", fault.Quote(level))
	}
	switch format {
	case Text: // which escapes whatever is not printable
		return slog.New(slog.NewTextHandler(w, options)), nil
	case JSON:
		options.ReplaceAttr = printable
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, fault.New(fault.Invalid, "%s is not a format of the log: use text or json", fault.Quote(format))
}

// printable replaces the characters of a value that JSON does not escape, although a terminal
// that shows the line would obey or hide them. It makes durations readable, as in text.
func printable(_ []string, a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(clean(v.String()))
	case slog.KindDuration:
		a.Value = slog.StringValue(v.Duration().String())
	case slog.KindAny:
		switch value := v.Any().(type) {
		case error:
			a.Value = slog.StringValue(clean(textOf(value.Error)))
		case fmt.Stringer:
			a.Value = slog.StringValue(clean(textOf(value.String)))
		}
	}
	return a
}

// textOf returns the text of a value whose method may panic, as that of a nil pointer does: a
// line of the log must not end the host.
func textOf(method func() string) (text string) {
	defer func() {
		if p := recover(); p != nil {
			text = "(no text)"
		}
	}()
	return method()
}

// clean returns s with U+FFFD for each such character.
func clean(s string) string {
	if strings.IndexFunc(s, steers) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if steers(r) {
			return utf8.RuneError
		}
		return r
	}, s)
}

// steers reports whether a character is not shown as itself. The JSON encoder escapes those
// below the space.
func steers(r rune) bool { return r > '~' && !unicode.IsPrint(r) && r != utf8.RuneError }
