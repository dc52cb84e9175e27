package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/berth-host/berth/abi/strictjson"
	"github.com/berth-host/berth/host/fault"
)

const (
	// MaxSize bounds an encoded envelope, in bytes.
	MaxSize = 1 << 20
	// MaxText bounds each text of the metadata (key, subject, source, ids), in bytes.
	MaxText = 256
	// MaxHops is the maximum number of handlers between an event and the producer that
	// started the chain (ABI v1, "Bounds the host enforces").
	MaxHops = 16
	// MaxDepth is the maximum nesting of lists and objects in the data. The envelope,
	// and the responses that contain it, add a few levels, and encoding/json reads at
	// most 10,000: every reader can decode every published event.
	MaxDepth = 1000
)

// Type names a kind of event. It matches ^[a-z0-9][a-z0-9_.-]{0,127}$.
type Type string

// OrderStatusChanged is published by the order repository for every order that
// is created or moves to another status.
const OrderStatusChanged Type = "order_status_changed"

// ParseType checks a type's name.
func ParseType(name string) (Type, error) {
	if name == "" {
		return "", fault.Field("event_type", "is required")
	}
	if !validType(name) {
		return "", fault.Field("event_type", "%s does not match ^[a-z0-9][a-z0-9_.-]{0,127}$", fault.Quote(name))
	}
	return Type(name), nil
}

func validType(s string) bool {
	if len(s) == 0 || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		word := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !word && (i == 0 || c != '_' && c != '.' && c != '-') {
			return false
		}
	}
	return true
}

// Metadata describes an event besides its data.
type Metadata struct {
	EventID        string    `json:"event_id"`        // UUIDv7, given by the host
	IdempotencyKey string    `json:"idempotency_key"` // the event id unless the producer gave one
	Source         string    `json:"source"`          // the producer, "api" by default
	Subject        string    `json:"subject"`         // the entity the event is about, such as an order id; may be empty
	Time           time.Time `json:"time"`            // UTC
	CorrelationID  string    `json:"correlation_id"`  // shared by a chain of events; the first one's id by default
	CausationID    string    `json:"causation_id,omitempty"`
	TraceParent    string    `json:"traceparent,omitempty"` // W3C Trace Context
	Hops           int       `json:"hops"`                  // handlers between this event and the chain's first
}

// MetadataMembers returns the names of the metadata's members in an envelope.
func MetadataMembers() []string {
	var names []string
	for f := range reflect.TypeFor[Metadata]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// Draft is an event as a producer publishes it. The zero value of every field but Type
// means its default.
type Draft struct {
	Type           string
	Data           json.RawMessage // any JSON value; absent means null
	IdempotencyKey string
	Source         string
	Subject        string
	Time           time.Time
	CorrelationID  string
	CausationID    string
	TraceParent    string
	Hops           int
	Deferral       Deferral
}

// Event is one immutable event. Make it with New, or with Parse from an
// envelope that New made.
type Event struct {
	typ      Type
	meta     Metadata
	data     string // a part of envelope
	envelope string
	origin   *Origin // nil when nothing is known, as of most events
	deferral *Deferral
}

// Deferral returns when the event is due after it was accepted. Of an event that has a Seq it
// is zero.
func (e *Event) Deferral() Deferral {
	if e.deferral == nil {
		return Deferral{}
	}
	return *e.deferral
}

// Type returns the event's type.
func (e *Event) Type() Type { return e.typ }

// ID returns the event's UUIDv7.
func (e *Event) ID() string { return e.meta.EventID }

// IsID reports whether text has the form of an event id.
func IsID(text string) bool {
	id, err := uuid.Parse(text)
	return err == nil && id.String() == text
}

// Subject returns the entity the event is about; it may be empty.
func (e *Event) Subject() string { return e.meta.Subject }

// Time returns the event's time, which its producer may have set.
func (e *Event) Time() time.Time { return e.meta.Time }

// Metadata returns a copy of the metadata.
func (e *Event) Metadata() Metadata { return e.meta }

// Data returns the data as compact JSON.
func (e *Event) Data() string { return e.data }

// Envelope returns the encoded event: the bytes that the log stores and that guests
// read.
func (e *Event) Envelope() string { return e.envelope }

// recordSize is the size of an event in the log besides its texts, in bytes: its
// numbers and index entries. Stored totals depend on it: it never changes.
const recordSize = 64

// Size returns the size of the event in the log, in bytes.
func (e *Event) Size() int64 {
	return int64(len(e.envelope) + len(e.meta.IdempotencyKey) + len(e.typ) + len(e.meta.Subject) + recordSize)
}

// Digest identifies the content (type, subject, data) in its present spelling. It is
// computed at each call; see SameContent.
func (e *Event) Digest() [sha256.Size]byte { return digest(e.typ, e.meta.Subject, e.data) }

// SameContent reports whether two events have the same type, the same subject and data
// of the same value (strictjson.Equal): members may be in another order, and numbers
// and strings in another spelling. Two events with one idempotency key are duplicates
// then, and in conflict otherwise.
func (e *Event) SameContent(other *Event) bool {
	return e.typ == other.typ && e.meta.Subject == other.meta.Subject &&
		(e.data == other.data || strictjson.Equal([]byte(e.data), []byte(other.data)))
}

// MarshalJSON returns the envelope.
func (e *Event) MarshalJSON() ([]byte, error) { return []byte(e.envelope), nil }

// New makes an event from a draft. It sets the ids, the time and the defaults, and
// encodes the envelope. Errors are fault.Invalid with the wrong field, or
// fault.Exhausted when the envelope is over MaxSize.
func New(d Draft) (*Event, error) {
	typ, err := ParseType(d.Type)
	if err != nil {
		return nil, err
	}
	data, err := compact(d.Data)
	if err != nil {
		return nil, err
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fault.New(fault.Unavailable, "make an event id: %w", err)
	}
	meta := Metadata{
		EventID:        id.String(),
		IdempotencyKey: d.IdempotencyKey,
		Source:         d.Source,
		Subject:        d.Subject,
		Time:           d.Time.UTC(),
		CorrelationID:  d.CorrelationID,
		CausationID:    d.CausationID,
		TraceParent:    d.TraceParent,
		Hops:           d.Hops,
	}
	if meta.IdempotencyKey == "" {
		meta.IdempotencyKey = meta.EventID
	}
	if meta.CorrelationID == "" {
		meta.CorrelationID = meta.EventID
	}
	if meta.Source == "" {
		meta.Source = "api"
	}
	if d.Time.IsZero() {
		meta.Time = time.Now().UTC()
	}
	ev, err := encode(typ, meta, data)
	if err == nil && !d.Deferral.IsZero() {
		deferral := d.Deferral // declared here, because it escapes to the heap
		ev.deferral = &deferral
	}
	return ev, err
}

func encode(typ Type, meta Metadata, data []byte) (*Event, error) {
	var small [1024]byte // most envelopes fit, and only the finished text is allocated
	b := small[:0]
	if len(data) > len(small)-512 {
		b = make([]byte, 0, len(data)+512)
	}
	b = append(b, `{"event_type":"`...)
	b = append(b, typ...)
	b = append(b, `","data":`...)
	from := len(b)
	b = append(b, data...)
	to := len(b)
	b = append(b, `,"metadata":{"event_id":`...)
	b = appendText(b, meta.EventID)
	b = append(b, `,"idempotency_key":`...)
	b = appendText(b, meta.IdempotencyKey)
	b = append(b, `,"source":`...)
	b = appendText(b, meta.Source)
	b = append(b, `,"subject":`...)
	b = appendText(b, meta.Subject)
	b = append(b, `,"time":"`...)
	b = meta.Time.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","correlation_id":`...)
	b = appendText(b, meta.CorrelationID)
	if meta.CausationID != "" {
		b = append(b, `,"causation_id":`...)
		b = appendText(b, meta.CausationID)
	}
	if meta.TraceParent != "" {
		b = append(b, `,"traceparent":`...)
		b = appendText(b, meta.TraceParent)
	}
	b = append(b, `,"hops":`...)
	b = strconv.AppendInt(b, int64(meta.Hops), 10)
	b = append(b, "}}"...)
	if len(b) > MaxSize {
		return nil, &fault.Error{Code: fault.Exhausted, Field: "data",
			Reason: "the event is " + strconv.Itoa(len(b)) + " bytes; the limit is " + strconv.Itoa(MaxSize)}
	}
	envelope := string(b)
	return &Event{typ: typ, meta: meta, envelope: envelope, data: envelope[from:to]}, nil
}

// Parse reads an envelope that New encoded. The event keeps exactly these bytes.
func Parse(envelope string) (*Event, error) {
	if e, ok := scanEnvelope(envelope); ok {
		return e, nil
	}
	return decodeEnvelope(envelope)
}

// ParseStored reads an envelope that New encoded, of an event with this origin; see Parse.
func ParseStored(envelope string, origin Origin) (*Event, error) {
	e, err := Parse(envelope)
	if err == nil {
		e.setOrigin(origin)
	}
	return e, err
}

// decodeEnvelope reads any JSON that means an envelope.
func decodeEnvelope(envelope string) (*Event, error) {
	var wire struct {
		Type     Type            `json:"event_type"`
		Data     json.RawMessage `json:"data"`
		Metadata Metadata        `json:"metadata"`
	}
	if err := json.Unmarshal([]byte(envelope), &wire); err != nil {
		return nil, fault.New(fault.Internal, "parse a stored envelope: %w", err)
	}
	if !validType(string(wire.Type)) || wire.Metadata.EventID == "" || len(wire.Data) == 0 {
		return nil, fault.New(fault.Internal, "parse a stored envelope: it has no event_type, data or event_id")
	}
	e := &Event{typ: wire.Type, meta: wire.Metadata, envelope: envelope}
	prefix := len(`{"event_type":"`) + len(wire.Type) + len(`","data":`)
	if end := prefix + len(wire.Data); end <= len(envelope) && envelope[prefix:end] == string(wire.Data) {
		e.data = envelope[prefix:end]
	} else {
		e.data = string(wire.Data)
	}
	return e, nil
}

func digest(typ Type, subject, data string) [sha256.Size]byte {
	b := make([]byte, 0, len(typ)+len(subject)+len(data)+2)
	b = append(b, typ...)
	b = append(b, 0)
	b = append(b, subject...)
	b = append(b, 0)
	b = append(b, data...)
	return sha256.Sum256(b)
}

func compact(data json.RawMessage) ([]byte, error) {
	if len(data) == 0 {
		return []byte("null"), nil
	}
	if !utf8.Valid(data) {
		return nil, fault.Field("data", "is not valid UTF-8")
	}
	if end, compact, ok := strictjson.Value(data, 0); ok && compact && end == len(data) {
		return data, nil // as most producers send it
	}
	var b bytes.Buffer
	b.Grow(len(data))
	if err := json.Compact(&b, data); err != nil {
		return nil, fault.Field("data", "is not valid JSON: %v", err)
	}
	if depth := strictjson.Depth(b.Bytes()); depth > MaxDepth {
		return nil, fault.Field("data", "nests %d levels of lists and objects; the limit is %d", depth, MaxDepth)
	}
	return b.Bytes(), nil
}

// W3C Trace Context, section 3.2.2: version, trace-id, parent-id, trace-flags.
var traceParent = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

func (d *Draft) check() error {
	for _, f := range []struct{ name, text string }{
		{"metadata.idempotency_key", d.IdempotencyKey},
		{"metadata.source", d.Source},
		{"metadata.subject", d.Subject},
		{"metadata.correlation_id", d.CorrelationID},
		{"metadata.causation_id", d.CausationID},
	} {
		if err := checkText(f.name, f.text); err != nil {
			return err
		}
	}
	if d.TraceParent != "" && !traceParent.MatchString(d.TraceParent) {
		return fault.Field("metadata.traceparent", "%s is not a W3C traceparent", fault.Quote(d.TraceParent))
	}
	if d.Hops < 0 || d.Hops > MaxHops {
		return fault.Field("metadata.hops", "is %d; an event may be at most %d handlers away from its producer", d.Hops, MaxHops)
	}
	if !d.Deferral.IsZero() {
		if err := d.Deferral.Check(time.Now()); err != nil {
			return err
		}
	}
	if y := d.Time.UTC().Year(); !d.Time.IsZero() && (y < 1970 || y > 9999) {
		return fault.Field("metadata.time", "year %d is outside 1970 to 9999", y)
	}
	return nil
}

func checkText(field, text string) error {
	if len(text) > MaxText {
		return fault.Field(field, "is %d bytes; the limit is %d", len(text), MaxText)
	}
	if !utf8.ValidString(text) {
		return fault.Field(field, "is not valid UTF-8")
	}
	for _, r := range text {
		if r < ' ' || r == 0x7f {
			return fault.Field(field, "contains the control character %U", r)
		}
	}
	return nil
}

// appendText appends a JSON string. checkText has refused control characters
// and invalid UTF-8, so only quote and backslash need escaping.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(append(b, s[from:i]...), '\\')
			from = i
		}
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}
