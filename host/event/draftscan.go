package event

import (
	"slices"

	"github.com/berth-host/berth/abi/strictjson"
)

// scanDraft reads a native envelope in the usual form: each key at most once, exactly
// as documented, texts without escapes. It returns false for any other text, valid or
// not: ParseDraft then decodes it. An accepted text reads the same as decoded. The text
// is valid UTF-8.
func scanDraft(body []byte) (d Draft, ok bool) {
	s := draftScanner{text: body}
	var typed, data, meta bool
	ok = s.object(func(key []byte) bool {
		switch string(key) {
		case "event_type":
			return first(&typed) && s.string(&d.Type)
		case "data":
			from := s.at
			d.Data = slices.Clone(body[from:s.value()])
			return first(&data) && s.ok
		case "metadata":
			return first(&meta) && s.metadata(&d)
		}
		return false
	})
	return d, ok && typed && strictjson.NonBlank(body, s.at) == len(body)
}

func first(seen *bool) bool {
	before := *seen
	*seen = true
	return !before
}

// draftScanner walks a text from the beginning of one value to its end.
type draftScanner struct {
	text []byte
	at   int
	ok   bool // value found a value
}

func (s *draftScanner) metadata(d *Draft) bool {
	const subjectField = 2
	var seen [6]bool
	return s.object(func(key []byte) bool {
		var field int
		var to *string
		switch string(key) {
		case "idempotency_key":
			field, to = 0, &d.IdempotencyKey
		case "source":
			field, to = 1, &d.Source
		case "subject":
			field, to = subjectField, &d.Subject
		case "correlation_id":
			field, to = 3, &d.CorrelationID
		case "causation_id":
			field, to = 4, &d.CausationID
		case "traceparent":
			field, to = 5, &d.TraceParent
		default: // time, too: the decoder knows its forms
			return false
		}
		return first(&seen[field]) && s.string(to) && (*to != "" || field == subjectField) // the decoder refuses an empty one
	})
}

// object moves past an object; member moves past each of its values.
func (s *draftScanner) object(member func(key []byte) bool) bool {
	if s.next() != '{' {
		return false
	}
	s.at++
	for c := s.next(); c != '}'; {
		key, plain := s.plain()
		if !plain || s.next() != ':' {
			return false
		}
		s.at++
		s.next()
		if !member(key) {
			return false
		}
		switch c = s.next(); c {
		case ',':
			s.at++
			if s.next() != '"' {
				return false
			}
		case '}':
		default:
			return false
		}
	}
	s.at++
	return true
}

// next moves to the next byte that is not white space, and returns it; 0 at the end.
func (s *draftScanner) next() byte {
	if s.at = strictjson.NonBlank(s.text, s.at); s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

// plain takes a string without escapes.
func (s *draftScanner) plain() ([]byte, bool) {
	end, plain, ok := strictjson.String(s.text, s.at)
	if !ok || !plain {
		return nil, false
	}
	inside := s.text[s.at+1 : end-1]
	s.at = end
	return inside, true
}

func (s *draftScanner) string(to *string) bool {
	text, ok := s.plain()
	*to = string(text)
	return ok
}

// value moves past any value and returns where it ends.
func (s *draftScanner) value() int {
	end, _, ok := strictjson.Value(s.text, s.at)
	if s.ok = ok; ok {
		s.at = end
	}
	return s.at
}
