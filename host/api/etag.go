package api

import (
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/fault"
)

// entityTags are what If-Match or If-None-Match names (RFC 9110, sections 8.8.3,
// 13.1.1 and 13.1.2).
type entityTags struct {
	given bool // the header is there
	any   bool // *
	list  []entityTag
}

type entityTag struct {
	weak bool
	text string // without its quotes
}

// ifMatch reads the header If-Match.
func ifMatch(c echo.Context) (entityTags, error) {
	return parseTags("If-Match", c.Request().Header.Values("If-Match"))
}

// unchanged reports whether If-None-Match names what the caller would get. The
// comparison is weak.
func unchanged(c echo.Context, etag string) (bool, error) {
	tags, err := parseTags("If-None-Match", c.Request().Header.Values("If-None-Match"))
	if err != nil || tags.any {
		return tags.any, err
	}
	for _, t := range tags.list {
		if `"`+t.text+`"` == etag {
			return true, nil
		}
	}
	return false, nil
}

// match compares strongly: a weak tag never matches.
func (t entityTags) match(text string) bool {
	for _, tag := range t.list {
		if !tag.weak && tag.text == text {
			return true
		}
	}
	return false
}

// single returns the version, when one strong tag is given and it is a version.
func (t entityTags) single() (int64, bool) {
	if len(t.list) != 1 || t.list[0].weak {
		return 0, false
	}
	version, err := strconv.ParseInt(t.list[0].text, 10, 64)
	return version, err == nil && version > 0 && strconv.FormatInt(version, 10) == t.list[0].text
}

// parseTags reads a list of entity tags. A bare number is taken as well, for
// people at a shell, to whom quotes are a nuisance.
func parseTags(header string, lines []string) (entityTags, error) {
	if len(lines) == 0 {
		return entityTags{}, nil
	}
	wrong := fault.Field(header, `must be * or entity tags as ETag gives them, with their quotes, such as "3"`)
	text := strings.Trim(strings.Join(lines, ","), ", \t")
	if text == "*" {
		return entityTags{given: true, any: true}, nil
	}
	if isNumber(text) {
		return entityTags{given: true, list: []entityTag{{text: text}}}, nil
	}
	tags := entityTags{given: true}
	for text != "" {
		var tag entityTag
		text, tag.weak = strings.CutPrefix(text, "W/")
		rest, quoted := strings.CutPrefix(text, `"`)
		inner, after, ended := strings.Cut(rest, `"`)
		if !quoted || !ended || strings.ContainsFunc(inner, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return entityTags{}, wrong
		}
		tag.text = inner
		tags.list = append(tags.list, tag)
		after = strings.TrimLeft(after, " \t")
		if after == "" {
			return tags, nil
		}
		if after[0] != ',' {
			return entityTags{}, wrong
		}
		text = strings.TrimLeft(after, ", \t") // empty elements of a list count for nothing
	}
	if len(tags.list) == 0 {
		return entityTags{}, wrong
	}
	return tags, nil
}

func isNumber(text string) bool {
	return text != "" && len(text) < 20 && strings.Trim(text, "0123456789") == ""
}
