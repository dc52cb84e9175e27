package cloudevents

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	sdk "github.com/cloudevents/sdk-go/v2/event"

	"github.com/berth-host/berth/abi/strictjson"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// The media types of the JSON formats.
const (
	Structured = "application/cloudevents+json"
	Batch      = "application/cloudevents-batch+json"
)

// Names of attributes, and of the members with the data.
const (
	specVersion = "specversion"
	attrID      = "id"
	attrSource  = "source"
	attrType    = "type"
	attrSubject = "subject"
	attrTime    = "time"
	contentType = "datacontenttype"
	traceParent = "traceparent"
	traceState  = "tracestate"
	correlation = "correlationid"
	causation   = "causationid"
	deliverAt   = "deliverat"
	after       = "deliverafter"
	memberData  = "data"
	member64    = "data_base64"
)

// header is the prefix of the headers of the binary mode.
const header = "Ce-"

// IsBinary reports whether a request is a CloudEvent in binary mode, right or wrong.
func IsBinary(h http.Header) bool {
	for name := range h {
		if strings.HasPrefix(name, header) {
			return true
		}
	}
	return false
}

// ParseStructured parses one event as JSON (CloudEvents JSON format 1.0, section
// 3). Errors are fault.Invalid with the member that is wrong.
func ParseStructured(body []byte) (event.Draft, error) {
	members, err := membersOf(body)
	if err != nil {
		return event.Draft{}, err
	}
	attributes := make(map[string]string, len(members))
	for name, raw := range members {
		if name == memberData || name == member64 || string(raw) == "null" { // null is the same as absent
			continue
		}
		var text string
		if raw[0] != '"' || json.Unmarshal(raw, &text) != nil {
			if !known(name) {
				return event.Draft{}, unknown(name)
			}
			return event.Draft{}, fault.Field(name, "must be a string")
		}
		if strictjson.LoneSurrogate(raw) {
			return event.Draft{}, fault.Field(name, "has half of a surrogate pair (an escape from \\ud800 to \\udfff), which is no character")
		}
		attributes[name] = text
	}
	d, err := draftOf(attributes)
	if err != nil {
		return event.Draft{}, err
	}
	d.Data, err = structuredData(attributes[contentType], members[memberData], members[member64])
	return d, err
}

// ParseBinary parses one event of HTTP's binary mode (CloudEvents HTTP protocol
// binding 1.0, section 3.1): its attributes are the headers that begin with
// ce-, its datacontenttype is Content-Type. Errors are fault.Invalid with the
// header that is wrong.
func ParseBinary(h http.Header, body []byte) (event.Draft, error) {
	attributes := make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(h)) {
		attribute, ok := strings.CutPrefix(name, header)
		if !ok {
			continue
		}
		attribute = strings.ToLower(attribute)
		if attribute == contentType {
			return event.Draft{}, inHeader(fault.Field(attribute, "is what the header Content-Type says"))
		}
		if len(h[name]) > 1 {
			return event.Draft{}, inHeader(fault.Field(attribute, "is given %d times", len(h[name])))
		}
		text, err := headerValue(h[name][0])
		if err != nil {
			return event.Draft{}, inHeader(fault.Field(attribute, "%v", err))
		}
		if attribute == attrSource && strings.Contains(text, " ") && !strings.ContainsAny(h[name][0], `" `) {
			text = h[name][0] // a URI-reference whose %20 the sender should have encoded again
		}
		attributes[attribute] = text
	}
	if given := h.Get("Content-Type"); given != "" {
		attributes[contentType] = given
	}
	d, err := draftOf(attributes)
	if err != nil {
		return event.Draft{}, inHeader(err)
	}
	if len(body) > 0 {
		d.Data, err = Data(attributes[contentType], body)
	}
	return d, err
}

// headerValue decodes the value of a header (section 3.1.3.2): double quotes
// first, as earlier versions of the binding wrote them, then one round of percent
// signs.
func headerValue(text string) (string, error) {
	if strings.IndexByte(text, '"') >= 0 {
		unquoted, inside := make([]byte, 0, len(text)), false
		for i := 0; i < len(text); i++ {
			switch c := text[i]; {
			case c == '"':
				inside = !inside
			case c == '\\' && inside:
				if i++; i < len(text) {
					unquoted = append(unquoted, text[i])
				}
			default:
				unquoted = append(unquoted, c)
			}
		}
		if inside {
			return "", errors.New("has a double quote that is not closed; a double quote itself is written %22")
		}
		text = string(unquoted)
	}
	text, err := url.PathUnescape(text)
	switch {
	case err != nil:
		return "", errors.New("a % must be followed by two hexadecimal digits; a percent sign itself is written %25")
	case !utf8.ValidString(text):
		return "", errors.New("is not valid UTF-8 when its percent signs are decoded")
	}
	return text, nil
}

// New returns the event of a parsed draft. Errors name attributes of CloudEvents.
func New(d event.Draft) (*event.Event, error) {
	ev, err := event.New(d)
	return ev, Named(err)
}

// Named replaces the field of an event in an error by the attribute of CloudEvents.
func Named(err error) error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return err
	}
	name, ok := map[string]string{
		"event_type": attrType, "metadata.source": attrSource, "metadata.idempotency_key": attrID, "metadata.subject": attrSubject,
		"metadata.time": attrTime, "metadata.traceparent": traceParent, "metadata.correlation_id": correlation,
		"metadata.causation_id": causation, "metadata.deliver_at": deliverAt, "metadata.deliver_after": after,
	}[f.Field]
	if !ok {
		return err
	}
	named := *f
	named.Field = name
	return &named
}

// inHeader replaces the attribute in an error by its header.
func inHeader(err error) error {
	var f *fault.Error
	if !errors.As(err, &f) || f.Field == "" || strings.Contains(f.Field, "-") {
		return err
	}
	named := *f
	named.Field = "ce-" + f.Field
	if f.Field == contentType {
		named.Field = "Content-Type"
	}
	return &named
}

// membersOf returns the members of a JSON object. It refuses duplicates.
func membersOf(body []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(body) {
		return nil, fault.Field("body", "the body is not valid UTF-8")
	}
	var whole json.RawMessage
	if err := event.DecodeStrict(body, &whole); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(whole))
	if token, err := dec.Token(); err != nil || token != json.Delim('{') {
		return nil, fault.Field("body", "must be an object: one CloudEvent; a list of them is %s", Batch)
	}
	members := make(map[string]json.RawMessage)
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, fault.Field("body", "malformed JSON: %v", err)
		}
		name, _ := token.(string)
		if _, there := members[name]; there {
			return nil, fault.Field(short(name), "duplicate key")
		}
		if len(members) == maxMembers {
			return nil, fault.Field("body", "has more than %d members", maxMembers)
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, fault.Field("body", "malformed JSON: %v", err)
		}
		members[name] = raw
	}
	return members, nil
}

// maxMembers exceeds the number of valid members, and bounds the cost of refusing a body of
// many names.
const maxMembers = 64

// known reports whether an event stores an attribute.
func known(name string) bool {
	switch name {
	case specVersion, attrID, attrSource, attrType, attrSubject, attrTime, contentType, traceParent, traceState, correlation, causation, deliverAt, after:
		return true
	}
	return false
}

func unknown(name string) error {
	if name == "dataschema" {
		return fault.Field(name, "is not stored with an event, and so it is refused; leave it out")
	}
	return fault.Field(short(name), "is an extension that events do not store; the supported ones are %s, %s, %s, %s, %s and %s", traceParent,
		traceState, correlation, causation, deliverAt, after)
}

// draftOf returns a draft of an event's attributes, without its data.
func draftOf(attributes map[string]string) (event.Draft, error) {
	switch version := attributes[specVersion]; version {
	case sdk.CloudEventsVersionV1:
	case "":
		return event.Draft{}, fault.Field(specVersion, "is required: %s", sdk.CloudEventsVersionV1)
	default:
		return event.Draft{}, fault.Field(specVersion, "is %q; CloudEvents %s are taken", short(version), sdk.CloudEventsVersionV1)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if !known(name) {
			return event.Draft{}, unknown(name)
		}
		if strings.TrimSpace(attributes[name]) == "" {
			return event.Draft{}, fault.Field(name, "is empty")
		}
		if err := checkCharacters(attributes[name]); err != nil {
			return event.Draft{}, fault.Field(name, "%v", err)
		}
	}
	for _, name := range []string{attrID, attrSource, attrType} {
		if attributes[name] == "" {
			return event.Draft{}, fault.Field(name, "is required")
		}
	}
	ev := sdk.New(sdk.CloudEventsVersionV1)
	ev.SetID(attributes[attrID])
	ev.SetSource(attributes[attrSource])
	ev.SetType(attributes[attrType])
	if kind, ok := attributes[contentType]; ok {
		ev.SetDataContentType(kind)
	}
	if err := ev.Validate(); err != nil {
		return event.Draft{}, invalid(err)
	}
	if strings.Contains(attributes[attrSource], " ") {
		return event.Draft{}, fault.Field(attrSource, "is not a URI-reference: it has a space")
	}
	d := event.Draft{
		Type:           attributes[attrType], // the SDK would trim space, which is invalid
		IdempotencyKey: keyOf(ev.Source(), attributes[attrID]),
		Source:         ev.Source(),
		Subject:        attributes[attrSubject],
		TraceParent:    attributes[traceParent],
		CorrelationID:  attributes[correlation],
		CausationID:    attributes[causation],
	}
	if text, ok := attributes[attrTime]; ok {
		at, err := event.ParseTime(text)
		if err != nil {
			return event.Draft{}, fault.Field(attrTime, "%v", err)
		}
		d.Time = at
	}
	optional := func(name string) *string {
		if text, ok := attributes[name]; ok {
			return &text
		}
		return nil
	}
	deferral, err := event.ParseDeferral(optional(deliverAt), optional(after))
	if err != nil {
		return event.Draft{}, Named(err)
	}
	d.Deferral = deferral
	if _, err := event.ParseType(d.Type); err != nil {
		return event.Draft{}, Named(err)
	}
	return d, nil
}

// checkCharacters refuses characters that no attribute may contain (CloudEvents 1.0.2, section
// "Type System"): control characters, and code points that are no characters.
func checkCharacters(text string) error {
	for _, r := range text {
		if r < ' ' || r >= 0x7f && r <= 0x9f || r >= 0xfdd0 && r <= 0xfdef || r&0xfffe == 0xfffe {
			return fmt.Errorf("contains %U, which no attribute may contain", r)
		}
	}
	return nil
}

// invalid returns the SDK's error about the first attribute by name.
func invalid(err error) error {
	var all sdk.ValidationError
	if !errors.As(err, &all) || len(all) == 0 {
		return fault.Field("body", "is not a CloudEvent: %v", err)
	}
	name := slices.Min(slices.Collect(maps.Keys(all)))
	return fault.Field(name, "is not valid: %v", all[name])
}

// keyOf returns the idempotency key: source and id identify a CloudEvent. A source has no
// space, so no two pairs have the same key.
func keyOf(source, id string) string {
	key := source + " " + id
	if len(key) <= event.MaxText {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// structuredData returns the data of the JSON format: a JSON value; a string, for another
// media type; or base64.
func structuredData(kind string, raw, base json.RawMessage) (json.RawMessage, error) {
	if string(base) == "null" {
		base = nil
	}
	switch {
	case raw != nil && base != nil:
		return nil, fault.Field(member64, "is there together with data; give one")
	case base != nil:
		var text string
		if json.Unmarshal(base, &text) != nil {
			return nil, fault.Field(member64, "must be a string")
		}
		content, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil {
			return nil, fault.Field(member64, "is not base64: %v", err)
		}
		return Data(kind, content)
	case raw == nil || string(raw) == "null" || isJSON(kind):
		return raw, nil
	case raw[0] != '"':
		return nil, fault.Field(memberData, "must be a string, because datacontenttype is %q", short(kind))
	}
	return raw, nil
}

// short shortens input for an error.
func short(s string) string {
	const limit = 64
	if len(s) > limit {
		s = s[:limit]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
