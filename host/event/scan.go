package event

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/berth-host/berth/abi/strictjson"
)

// scanEnvelope reads an envelope in the layout of encode. It returns false for any
// other text, also a valid one: Parse then decodes it. An accepted text reads the same
// as decoded.
func scanEnvelope(envelope string) (*Event, bool) {
	s := scanner{text: envelope}
	e := &Event{envelope: envelope}
	s.expect(`{"event_type":"`)
	e.typ = Type(s.tail())
	s.expect(`,"data":`)
	from := s.at
	s.value()
	e.data = envelope[from:s.at]
	m := &e.meta
	s.expect(`,"metadata":{"event_id":"`)
	m.EventID = s.tail()
	s.expect(`,"idempotency_key":"`)
	m.IdempotencyKey = s.tail()
	s.expect(`,"source":"`)
	m.Source = s.tail()
	s.expect(`,"subject":"`)
	m.Subject = s.tail()
	s.expect(`,"time":"`)
	m.Time = s.time()
	s.expect(`,"correlation_id":"`)
	m.CorrelationID = s.tail()
	if s.found(`,"causation_id":"`) {
		m.CausationID = s.tail()
	}
	if s.found(`,"traceparent":"`) {
		m.TraceParent = s.tail()
	}
	s.expect(`,"hops":`)
	m.Hops = s.hops()
	s.expect(`}}`)
	if s.failed || s.at != len(envelope) || !validType(string(e.typ)) || m.EventID == "" {
		return nil, false
	}
	return e, true
}

// scanner moves over a text. After a failure it does not move any more.
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

// tail reads the remainder of a string and its closing quote. It knows the escapes
// that appendText writes.
func (s *scanner) tail() string {
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
				break // the decoder would replace invalid bytes
			}
			if escapes == 0 {
				return text
			}
			return string(strictjson.AppendUnescaped(make([]byte, 0, len(text)-escapes), text))
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

// value moves past one JSON value without white space between its tokens.
func (s *scanner) value() {
	if s.failed {
		return
	}
	end, compact, ok := strictjson.Value(s.text, s.at)
	s.at, s.failed = end, !ok || !compact
}
