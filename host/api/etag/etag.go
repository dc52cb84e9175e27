// Package etag reads the entity tags of conditional requests: If-Match and
// If-None-Match (RFC 9110, sections 8.8.3, 13.1.1 and 13.1.2).
package etag

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/berth-host/berth/host/fault"
)

// Tags are the entity tags that a header names.
type Tags struct {
	Given bool // the header is present
	Any   bool // *
	list  []tag
}

type tag struct {
	weak bool
	text string // without its quotes
}

// IfMatch reads the header If-Match.
func IfMatch(r *http.Request) (Tags, error) {
	return parse("If-Match", r.Header.Values("If-Match"))
}

// IfNoneMatch reads the header If-None-Match of a change, where * means: if there is nothing.
func IfNoneMatch(r *http.Request) (Tags, error) {
	return parse("If-None-Match", r.Header.Values("If-None-Match"))
}

// Unchanged reports whether If-None-Match names the present tag, which has its quotes.
// The comparison is weak.
func Unchanged(r *http.Request, present string) (bool, error) {
	tags, err := IfNoneMatch(r)
	if err != nil || tags.Any {
		return tags.Any, err
	}
	for _, t := range tags.list {
		if `"`+t.text+`"` == present {
			return true, nil
		}
	}
	return false, nil
}

// Named reports whether the header names a tag, and not only *.
func (t Tags) Named() bool { return len(t.list) > 0 }

// Match reports whether the header names this tag, without its quotes. The comparison
// is strong: a weak tag never matches.
func (t Tags) Match(text string) bool {
	for _, tag := range t.list {
		if !tag.weak && tag.text == text {
			return true
		}
	}
	return false
}

// Version returns the version that the header names, if it names one strong tag and
// that is a positive number.
func (t Tags) Version() (int64, bool) {
	if len(t.list) != 1 || t.list[0].weak {
		return 0, false
	}
	version, err := strconv.ParseInt(t.list[0].text, 10, 64)
	return version, err == nil && version > 0 && strconv.FormatInt(version, 10) == t.list[0].text
}

// parse reads a list of entity tags. It also accepts a number without quotes, which is
// easier to write in a shell.
func parse(header string, lines []string) (Tags, error) {
	if len(lines) == 0 {
		return Tags{}, nil
	}
	wrong := fault.Field(header, `must be * or entity tags as ETag gives them, with their quotes, such as "3"`)
	text := strings.Trim(strings.Join(lines, ","), ", \t")
	if text == "*" {
		return Tags{Given: true, Any: true}, nil
	}
	if isNumber(text) {
		return Tags{Given: true, list: []tag{{text: text}}}, nil
	}
	tags := Tags{Given: true}
	for text != "" {
		var next tag
		text, next.weak = strings.CutPrefix(text, "W/")
		quotedText, quoted := strings.CutPrefix(text, `"`)
		inner, after, ended := strings.Cut(quotedText, `"`)
		if !quoted || !ended || strings.ContainsFunc(inner, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return Tags{}, wrong
		}
		next.text = inner
		tags.list = append(tags.list, next)
		after = strings.TrimLeft(after, " \t")
		if after == "" {
			return tags, nil
		}
		if after[0] != ',' {
			return Tags{}, wrong
		}
		text = strings.TrimLeft(after, ", \t") // a list may have empty elements
	}
	if len(tags.list) == 0 {
		return Tags{}, wrong
	}
	return tags, nil
}

func isNumber(text string) bool {
	return text != "" && len(text) < 20 && strings.Trim(text, "0123456789") == ""
}
