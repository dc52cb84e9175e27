package abi

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxEventType bounds an event type and a glob of one, in bytes.
const MaxEventType = 128

// ValidName reports whether a plugin may have the name: 1 to 63 of a-z, 0-9
// and '-', not beginning with '-'.
func ValidName(name string) bool {
	if name == "" || len(name) > 63 || name[0] == '-' {
		return false
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; !isLower(c) && !isDigit(c) && c != '-' {
			return false
		}
	}
	return true
}

// ReservedName reports whether the name, though valid, is reserved: paths of the
// API have these words in the position of a plugin's name.
func ReservedName(name string) bool {
	switch name {
	case "install", "marketplace", "uninstall", "verify":
		return true
	}
	return false
}

// CheckName returns an error for a name that is invalid or reserved.
func CheckName(name string) error {
	switch {
	case !ValidName(name):
		return fmt.Errorf("%q must be 1 to 63 of a-z, 0-9 and -, and not begin with -", name)
	case ReservedName(name):
		return fmt.Errorf("%q is a word of the host's API, which no plugin can have for a name", name)
	}
	return nil
}

// ValidVersion reports whether v is a semantic version (semver.org, 2.0.0) in
// full: three numbers, with no "v" before them. It takes at most 128 bytes.
func ValidVersion(v string) bool {
	if len(v) > 128 {
		return false
	}
	v, build, hasBuild := strings.Cut(v, "+")
	if hasBuild && !validIdentifiers(build, false) {
		return false
	}
	core, pre, hasPre := strings.Cut(v, "-")
	if hasPre && !validIdentifiers(pre, true) {
		return false
	}
	numbers := strings.Split(core, ".")
	if len(numbers) != 3 {
		return false
	}
	for _, n := range numbers {
		// semver.org allows numbers beyond a uint64; readers of versions differ in
		// how they compare those.
		if _, err := strconv.ParseUint(n, 10, 64); err != nil || n[0] == '+' || leadingZero(n) {
			return false
		}
	}
	return true
}

func validIdentifiers(s string, pre bool) bool {
	for id := range strings.SplitSeq(s, ".") {
		number := true
		for i := 0; i < len(id); i++ {
			c := id[i]
			if !isAlpha(c) && !isDigit(c) && c != '-' {
				return false
			}
			number = number && isDigit(c)
		}
		if id == "" || pre && number && leadingZero(id) {
			return false
		}
	}
	return true
}

func leadingZero(digits string) bool { return len(digits) > 1 && digits[0] == '0' }

// ValidEventTypeGlob reports whether glob selects event types: 1 to MaxEventType
// bytes of a-z, 0-9 and . _ - as in the types of events
// (^[a-z0-9][a-z0-9_.-]{0,127}$), and '*' for any run of characters, also an empty one.
func ValidEventTypeGlob(glob string) bool {
	if glob == "" || len(glob) > MaxEventType {
		return false
	}
	for i := 0; i < len(glob); i++ {
		word := glob[i] >= 'a' && glob[i] <= 'z' || isDigit(glob[i]) || glob[i] == '*'
		if !word && (i == 0 || !strings.ContainsRune("._-", rune(glob[i]))) {
			return false
		}
	}
	return true
}

// MatchEventType reports whether the glob matches the whole of eventType. Only '*'
// is special. The time is at most len(glob) times len(eventType).
func MatchEventType(glob, eventType string) bool {
	g, t := 0, 0
	star, resume := -1, 0
	for t < len(eventType) {
		switch {
		case g < len(glob) && glob[g] == '*':
			star, resume = g, t
			g++
		case g < len(glob) && glob[g] == eventType[t]:
			g++
			t++
		case star >= 0: // the last star matches one byte more
			resume++
			g, t = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(glob[g:], "*") == ""
}

// ValidPointer reports whether p is a JSON Pointer (RFC 6901): empty, or
// beginning with '/', in UTF-8, with '~' only in ~0 and ~1.
func ValidPointer(p string) bool {
	if p == "" {
		return true
	}
	if p[0] != '/' || !utf8.ValidString(p) {
		return false
	}
	for i := 0; i < len(p); i++ {
		if p[i] == '~' && (i+1 == len(p) || p[i+1] != '0' && p[i+1] != '1') {
			return false
		}
	}
	return true
}

// ValidHost reports whether h is a host for the capability http: a host name in lower
// case or an IP address (version 6 in brackets), with an optional port. There are
// no wildcards.
func ValidHost(h string) bool {
	if bracketed, ok := strings.CutPrefix(h, "["); ok {
		address, port, ok := strings.Cut(bracketed, "]")
		if !ok || address == "" || strings.Trim(address, "0123456789abcdef:.") != "" || !strings.Contains(address, ":") {
			return false
		}
		return port == "" || port[0] == ':' && validPort(port[1:])
	}
	name, port, hasPort := strings.Cut(h, ":")
	if hasPort && !validPort(port) || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if !ValidName(label) || label[len(label)-1] == '-' {
			return false
		}
	}
	return true
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && isDigit(s[0]) && s[0] != '0'
}

func hostError(h string) error {
	if ValidHost(h) {
		return nil
	}
	return fmt.Errorf("%q is not a host such as api.example.com or api.example.com:8443: no scheme, no path, no wildcard, lower case", h)
}

func globError(glob string) error {
	if ValidEventTypeGlob(glob) {
		return nil
	}
	return fmt.Errorf("%q is not an event type: 1 to %d of a-z, 0-9 and . _ - (not first), where * matches anything", glob, MaxEventType)
}

func secretError(name string) error {
	if name == "" || len(name) > 128 {
		return fmt.Errorf("%q is not a secret's name: 1 to 128 bytes", name)
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; !isAlpha(c) && !isDigit(c) && !strings.ContainsRune("._-/", rune(c)) {
			return fmt.Errorf("%q is not a secret's name: letters, digits and . _ - /", name)
		}
	}
	return nil
}

// textError refuses control characters and those that change the direction of text:
// an operator decides by these texts, also in a terminal.
func textError(text string) error {
	for _, r := range text {
		if r == '\n' || r == '\t' {
			continue
		}
		if unicode.IsControl(r) || '\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069' {
			return fmt.Errorf("%+q is an invisible character", r)
		}
	}
	return nil
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }
func isAlpha(c byte) bool { return isLower(c|0x20) && c < 0x80 }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
