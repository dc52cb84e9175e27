package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/berth-host/berth/host/fault"
)

// Schema is a compiled config_schema. It is safe for concurrent use.
type Schema struct {
	compiled *jsonschema.Schema
	cost     int    // upper bound of the cost of checking one value; see bounds.go
	costs    *costs // of its parts

	// The same config is checked repeatedly, so the last result is cached.
	mu   sync.Mutex
	last string
	err  error
	done bool
}

// resourceName is the schema's URL for the library. Nothing is loaded from it.
const resourceName = "berth:config_schema"

// Compile compiles a JSON Schema of draft 2020-12, or of 2019-09 or draft-07 if $schema
// names it. The error is fault.Invalid and names the mistake or the exceeded limit.
func Compile(text []byte) (s *Schema, err error) {
	defer func() {
		if r := recover(); r != nil {
			s, err = nil, fault.New(fault.Invalid, "the schema cannot be compiled: %v", r)
		}
	}()
	if len(text) > maxText {
		return nil, fault.New(fault.Invalid, "the schema is %d bytes; the limit is %d", len(text), maxText)
	}
	doc, err := decode(text)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the schema is not JSON: %w", err)
	}
	cost, err := measure(doc)
	if err != nil {
		return nil, &fault.Error{Code: fault.Invalid, Reason: err.Error(), Err: err}
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(nowhere{})
	if err := c.AddResource(resourceName, doc); err != nil {
		return nil, fault.New(fault.Invalid, "the schema cannot be used: %w", err)
	}
	compiled, err := c.Compile(resourceName)
	if err != nil {
		return nil, &fault.Error{Code: fault.Invalid, Reason: wrongSchema(err), Err: err}
	}
	return &Schema{compiled: compiled, cost: cost, costs: costsOf(compiled)}, nil
}

// nowhere is a loader that loads nothing: a schema is self-contained.
type nowhere struct{}

// Load implements jsonschema.URLLoader.
func (nowhere) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s is outside the schema, and nothing is loaded", url)
}

// wrongSchema returns the text for an error of the library.
func wrongSchema(err error) string {
	var invalid *jsonschema.SchemaValidationError
	var cause *jsonschema.ValidationError
	if errors.As(err, &invalid) && errors.As(invalid.Err, &cause) {
		list := violations(cause)
		return "it is not a JSON Schema: " + list[0].String()
	}
	return "it is not a JSON Schema: " + strings.ReplaceAll(err.Error(), resourceName, "")
}

func decode(text []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows it")
	}
	return v, nil
}

// Violation is a position of a config that violates the schema.
type Violation struct {
	Pointer string // JSON Pointer into the config; "" for the whole config
	Reason  string // what the schema requires; never a value of the config
}

// String returns "pointer: reason".
func (v Violation) String() string {
	if v.Pointer == "" {
		return v.Reason
	}
	return v.Pointer + ": " + v.Reason
}

// Way returns the keys and indices of Pointer.
func (v Violation) Way() []string {
	if v.Pointer == "" {
		return nil
	}
	way := strings.Split(v.Pointer[1:], "/")
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	for i, token := range way {
		way[i] = unescape.Replace(token)
	}
	return way
}

// Error lists the violations of a config. Check wraps it in a fault.Invalid; errors.As
// finds it.
type Error struct {
	Violations []Violation // at least one, at most maxViolations, sorted by Pointer
	More       int         // number of further violations
}

// maxViolations bounds how many violations one Error lists.
const maxViolations = 20

// Error lists the violations.
func (e *Error) Error() string {
	texts := make([]string, len(e.Violations))
	for i, v := range e.Violations {
		texts[i] = v.String()
	}
	text := strings.Join(texts, "; ")
	if e.More > 0 {
		text += fmt.Sprintf("; and %d more", e.More)
	}
	return text
}

// Check checks a config, a JSON value, against the schema. The error is fault.Invalid and
// wraps an *Error.
func (s *Schema) Check(config []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.done || s.last != string(config) {
		s.last, s.err, s.done = string(config), s.check(config, func(_ any, size int) bool { return size <= maxWork/s.cost }), true
	}
	return s.err
}

// CheckEvent checks the data of an event, a JSON value. It keeps no result, and calls do not
// wait for each other. Its errors are those of Check; it refuses data whose check would take
// more than about a tenth of a second. The work is an upper bound of what the check took, in
// microseconds of a usual machine; it depends on the schema and the data only.
func (s *Schema) CheckEvent(data []byte) (work int, err error) {
	work = len(data) / bytesOfStep
	err = s.check(data, func(v any, _ int) bool {
		steps := s.costs.steps(s.compiled, v, maxEventWork)
		if steps > maxEventWork {
			return false
		}
		work += steps
		return true
	})
	return work, err
}

// bytesOfStep is how much JSON is decoded in one step, in bytes.
const bytesOfStep = 20

// check checks a config of which fits reports whether it can be checked in time.
func (s *Schema) check(config []byte, fits func(v any, size int) bool) (err error) {
	refuse := func(e *Error) error {
		return &fault.Error{Code: fault.Invalid, Reason: e.Error(), Err: e}
	}
	defer func() {
		if r := recover(); r != nil {
			err = refuse(&Error{Violations: []Violation{{Reason: "cannot be checked against the schema"}}})
		}
	}()
	v, err := decode(config)
	if err != nil {
		return refuse(&Error{Violations: []Violation{{Reason: "is not JSON"}}})
	}
	size, at := weigh(v)
	switch {
	case at != nil:
		return refuse(&Error{Violations: []Violation{{Pointer: pointer(at), Reason: "is a number too long to be checked; make it text"}}})
	case !fits(v, size):
		return refuse(&Error{Violations: []Violation{{Reason: "is too large to be checked against a schema of this size"}}})
	}
	err = s.compiled.Validate(v)
	if err == nil {
		return nil
	}
	var wrong *jsonschema.ValidationError
	if !errors.As(err, &wrong) {
		return refuse(&Error{Violations: []Violation{{Reason: "cannot be checked against the schema"}}})
	}
	e := &Error{Violations: violations(wrong)}
	if n := len(e.Violations); n > maxViolations {
		e.Violations, e.More = e.Violations[:maxViolations], n-maxViolations
	}
	return refuse(e)
}

// violations returns the innermost causes, sorted by position, without duplicates.
func violations(err *jsonschema.ValidationError) []Violation {
	var list []Violation
	var walk func(e *jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		if len(e.Causes) == 0 || whole(e.ErrorKind) {
			list = append(list, Violation{Pointer: pointer(e.InstanceLocation), Reason: reason(e.ErrorKind)})
			return
		}
		for _, cause := range e.Causes {
			walk(cause)
		}
	}
	walk(err)
	slices.SortFunc(list, func(a, b Violation) int {
		if c := strings.Compare(a.Pointer, b.Pointer); c != 0 {
			return c
		}
		return strings.Compare(a.Reason, b.Reason)
	})
	return slices.Compact(list)
}

// pointer writes a JSON Pointer (RFC 6901).
func pointer(tokens []string) string {
	var b strings.Builder
	for _, t := range tokens {
		if strings.ContainsAny(t, "~/") {
			t = strings.ReplaceAll(strings.ReplaceAll(t, "~", "~0"), "/", "~1")
		}
		b.WriteByte('/')
		b.WriteString(t)
	}
	return b.String()
}
