package event

import (
	"strings"
	"time"
	"unicode/utf8"
)

// scanEnvelope reads an envelope as encode lays it out. It answers false for
// every other text, also for valid ones: Parse then decodes it as JSON. What it
// accepts it reads exactly as the decoder would.
func scanEnvelope(envelope string) (*Event, bool) {
	s := scanner{text: envelope}
	e := &Event{envelope: envelope}
	s.expect(`{"event_type":"`)
	e.typ = Type(s.rest())
	s.expect(`,"data":`)
	from := s.at
	s.value()
	e.data = envelope[from:s.at]
	m := &e.meta
	s.expect(`,"metadata":{"event_id":"`)
	m.EventID = s.rest()
	s.expect(`,"idempotency_key":"`)
	m.IdempotencyKey = s.rest()
	s.expect(`,"source":"`)
	m.Source = s.rest()
	s.expect(`,"subject":"`)
	m.Subject = s.rest()
	s.expect(`,"time":"`)
	m.Time = s.time()
	s.expect(`,"correlation_id":"`)
	m.CorrelationID = s.rest()
	if s.found(`,"causation_id":"`) {
		m.CausationID = s.rest()
	}
	if s.found(`,"traceparent":"`) {
		m.TraceParent = s.rest()
	}
	s.expect(`,"hops":`)
	m.Hops = s.hops()
	s.expect(`}}`)
	if s.failed || s.at != len(envelope) || !validType(string(e.typ)) || m.EventID == "" {
		return nil, false
	}
	return e, true
}

// scanner walks a text. Once it failed it stays where it is.
type scanner struct {
	text   string
	at     int
	failed bool
}

func (s *scanner) found(word string) bool {
	if s.failed || !strings.HasPrefix(s.text[s.at:], word) {
		return false
	}
	s.at += len(word)
	return true
}

func (s *scanner) expect(word string) {
	if !s.found(word) {
		s.failed = true
	}
}

// rest reads the rest of a string and its closing quote. It knows the escapes
// that appendText writes.
func (s *scanner) rest() string {
	if s.failed {
		return ""
	}
	from, escapes, ascii := s.at, 0, true
	for i := from; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '"':
			s.at = i + 1
			text := s.text[from:i]
			if !ascii && !utf8.ValidString(text) {
				break // the decoder would replace what is not valid
			}
			if escapes == 0 {
				return text
			}
			return unescape(text, escapes)
		case c == '\\':
			i++
			if i == len(s.text) || s.text[i] != '"' && s.text[i] != '\\' {
				s.failed = true
				return ""
			}
			escapes++
			continue
		case c >= utf8.RuneSelf:
			ascii = false
			continue
		case c >= ' ':
			continue
		}
		break
	}
	s.failed = true
	return ""
}

func unescape(text string, escapes int) string {
	b := make([]byte, 0, len(text)-escapes)
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' {
			i++
		}
		b = append(b, text[i])
	}
	return string(b)
}

// time reads an RFC 3339 time in UTC and the quote behind it.
func (s *scanner) time() time.Time {
	year, month, day := s.digits(4, '-'), s.digits(2, '-'), s.digits(2, 'T')
	hour, minute := s.digits(2, ':'), s.digits(2, ':')
	second, ns := s.digits(2, 0), 0
	if s.found(".") {
		digits := 0
		for ; !s.failed && s.at < len(s.text) && isDigit(s.text[s.at]); digits++ {
			ns = ns*10 + int(s.text[s.at]-'0')
			s.at++
			if digits == 9 {
				s.failed = true // more than nanoseconds
			}
		}
		if digits == 0 {
			s.failed = true
		}
		for ; digits < 9; digits++ {
			ns *= 10
		}
	}
	s.expect(`Z"`)
	if s.failed || hour > 23 || minute > 59 || second > 59 {
		s.failed = true
		return time.Time{}
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, ns, time.UTC)
	if t.Day() != day || int(t.Month()) != month { // such as February 30
		s.failed = true
	}
	return t
}

// digits reads n digits and the byte behind them, unless that is 0.
func (s *scanner) digits(n int, then byte) int {
	if s.failed || s.at+n >= len(s.text) {
		s.failed = true
		return 0
	}
	v := 0
	for _, c := range []byte(s.text[s.at : s.at+n]) {
		if !isDigit(c) {
			s.failed = true
			return 0
		}
		v = v*10 + int(c-'0')
	}
	s.at += n
	if then != 0 {
		if s.text[s.at] != then {
			s.failed = true
		}
		s.at++
	}
	return v
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// hops reads a small number that is not negative.
func (s *scanner) hops() int {
	from, v := s.at, 0
	for ; !s.failed && s.at < len(s.text) && isDigit(s.text[s.at]) && s.at-from < 4; s.at++ {
		v = v*10 + int(s.text[s.at]-'0')
	}
	if n := s.at - from; n == 0 || n > 1 && s.text[from] == '0' {
		s.failed = true
	}
	return v
}

// maxScanDepth is how deep scanner.value follows arrays and objects; the decoder
// takes what is deeper.
const maxScanDepth = 256

// value walks over one JSON value without spaces between its tokens, and checks
// it (RFC 8259) as the decoder does: strings may hold invalid UTF-8.
func (s *scanner) value() {
	var objects [maxScanDepth / 64]uint64 // a bit for each level: an object, not an array
	depth := 0
	inObject := func() bool { return objects[(depth-1)/64]>>((depth-1)%64)&1 == 1 }
	for !s.failed {
		if s.at >= len(s.text) {
			s.failed = true
			return
		}
		switch c := s.text[s.at]; {
		case c == '{' || c == '[':
			if depth == maxScanDepth {
				s.failed = true
				return
			}
			bit := uint64(1) << (depth % 64)
			if objects[depth/64] &^= bit; c == '{' {
				objects[depth/64] |= bit
			}
			depth++
			s.at++
			if c == '[' && !s.found("]") {
				continue
			} else if c == '{' && !s.found("}") {
				s.name()
				continue
			}
			depth--
		case c == '"':
			s.at++
			s.skipString()
		case c == '-' || isDigit(c):
			s.number()
		case c == 't':
			s.expect("true")
		case c == 'f':
			s.expect("false")
		default:
			s.expect("null")
		}
		// A value has ended, and perhaps what it was in.
		for depth > 0 && !s.failed {
			if s.found(",") {
				if inObject() {
					s.name()
				}
				break
			}
			if inObject() {
				s.expect("}")
			} else {
				s.expect("]")
			}
			depth--
		}
		// Only a comma, or the beginning of a list, leads to another value.
		if depth == 0 {
			return
		}
	}
}

// name walks over an object member's name and the colon.
func (s *scanner) name() {
	s.expect(`"`)
	s.skipString()
	s.expect(":")
}

// skipString walks over the rest of a string and its closing quote.
func (s *scanner) skipString() {
	for i := s.at; i < len(s.text) && !s.failed; i++ {
		switch c := s.text[i]; {
		case c == '"':
			s.at = i + 1
			return
		case c == '\\':
			i++
			if i == len(s.text) || strings.IndexByte(`"\/bfnrtu`, s.text[i]) < 0 {
				s.failed = true
				return
			}
			if s.text[i] == 'u' {
				for range 4 {
					i++
					if i == len(s.text) || !isHex(s.text[i]) {
						s.failed = true
						return
					}
				}
			}
		case c < ' ':
			s.failed = true
			return
		}
	}
	s.failed = true
}

func isHex(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func (s *scanner) number() {
	run := func() (n int) {
		for s.at < len(s.text) && isDigit(s.text[s.at]) {
			s.at, n = s.at+1, n+1
		}
		return n
	}
	s.found("-")
	if !s.found("0") && run() == 0 {
		s.failed = true
	}
	if s.found(".") && run() == 0 {
		s.failed = true
	}
	if s.found("e") || s.found("E") {
		if !s.found("+") {
			s.found("-")
		}
		if run() == 0 {
			s.failed = true
		}
	}
}
