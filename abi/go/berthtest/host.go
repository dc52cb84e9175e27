package berthtest

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	berth "github.com/berth-host/berth/abi/go"
)

// Statuses of the ABI's finish, and its limits.
const (
	statusOK     = 0
	statusRetry  = 1
	statusReject = 2

	maxLogLine   = 8 << 10
	maxChildren  = 64
	maxChild     = 1 << 20
	maxResult    = 64 << 10
	maxKVKey     = 256
	maxKVValue   = 1 << 20
	maxEventType = 128
)

// delivery is the wire.Host of one or more deliveries to one instance.
type delivery struct {
	host     *Host
	waiting  []string // envelopes yet to be taken
	envelope string   // the open event's
	open     bool
	refused  string   // why the open event was not finished
	children []string // of the open event
	outcome  Outcome  // of the open event, as far as it has one
	outcomes []Outcome

	last []byte
	text string // of the latest error
}

func (d *delivery) fail(code berth.Code, text string) int32 {
	d.text = text
	return int32(code)
}

func (d *delivery) yield(buf, content []byte) int32 {
	d.last = append(d.last[:0:0], content...)
	if d.last == nil {
		d.last = []byte{}
	}
	if len(content) <= len(buf) {
		copy(buf, content)
	}
	return int32(len(content))
}

func (d *delivery) Next(buf []byte) int32 {
	if d.open && d.refused != "" {
		d.Finish(statusRetry, d.refused)
	} else if d.open {
		d.Finish(statusOK, "")
	}
	if len(d.waiting) == 0 {
		return int32(berth.ErrEnd)
	}
	d.envelope, d.waiting, d.open = d.waiting[0], d.waiting[1:], true
	return d.yield(buf, []byte(d.envelope))
}

func (d *delivery) Field(pointer string, buf []byte) int32 {
	if !d.open {
		return d.fail(berth.ErrInvalid, "no event is open")
	}
	text, code := field(d.envelope, pointer)
	if code != 0 {
		return d.fail(code, "")
	}
	return d.yield(buf, []byte(text))
}

func (d *delivery) Finish(status int32, text string) int32 {
	if !d.open {
		return d.fail(berth.ErrInvalid, "no event is open")
	}
	switch status {
	case statusOK:
		if len(text) > maxResult {
			panic("the result is over 64 KiB: the host ends an instance for that")
		}
		if text != "" && (!utf8.ValidString(text) || !json.Valid([]byte(text))) {
			d.refused = "the result is not JSON"
			return d.fail(berth.ErrInvalid, d.refused)
		}
		d.outcome.Status, d.outcome.Result, d.outcome.Children = OK, text, d.children
	case statusRetry:
		d.outcome.Status, d.outcome.Reason = Retry, line(text)
	case statusReject:
		d.outcome.Status, d.outcome.Reason = Rejected, line(text)
	default:
		d.refused = "no such status"
		return d.fail(berth.ErrInvalid, d.refused)
	}
	d.outcomes = append(d.outcomes, d.outcome)
	d.open, d.refused, d.children, d.outcome = false, "", nil, Outcome{}
	return 0
}

func (d *delivery) Emit(child string) int32 {
	if slices.Contains(d.host.Denied, "emit") {
		return d.fail(berth.ErrDenied, "emit is not granted")
	}
	if !d.open {
		return d.fail(berth.ErrInvalid, "no event is open")
	}
	if len(child) > maxChild {
		return d.fail(berth.ErrTooLarge, "the child is over 1 MiB")
	}
	var c struct {
		Type     string          `json:"event_type"`
		Data     json.RawMessage `json:"data"`
		Metadata struct {
			IdempotencyKey string `json:"idempotency_key"`
			Subject        string `json:"subject"`
		} `json:"metadata"`
	}
	dec := json.NewDecoder(strings.NewReader(child))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return d.fail(berth.ErrInvalid, err.Error())
	}
	if dec.More() {
		return d.fail(berth.ErrInvalid, "unexpected data after the child")
	}
	if c.Data == nil {
		return d.fail(berth.ErrInvalid, "data is missing")
	}
	if !validEventType(c.Type) {
		return d.fail(berth.ErrInvalid, "event_type is missing or malformed")
	}
	if len(d.children) == maxChildren {
		panic("the event has 64 children already: the host ends an instance for one more")
	}
	d.children = append(d.children, child)
	return 0
}

var eventType = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]*$`)

func validEventType(name string) bool {
	return len(name) <= maxEventType && eventType.MatchString(name)
}

func (d *delivery) Log(n int32, text string) {
	d.outcome.Logs = append(d.outcome.Logs, level(n)+" "+line(text))
}

// level names a log level. A number that is no level is logged as an error.
func level(n int32) string {
	if names := []string{"debug", "info", "warn", "error"}; n >= 0 && int(n) < len(names) {
		return names[n]
	}
	return "error"
}

// line is the text as the host keeps a log line or a reason.
func line(text string) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	if len(text) <= maxLogLine {
		return text
	}
	end := maxLogLine
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

func (d *delivery) Config(buf []byte) int32 {
	if d.host.Config == "" {
		return d.yield(buf, []byte("{}"))
	}
	return d.yield(buf, []byte(d.host.Config))
}

func (d *delivery) Secret(name string, buf []byte) int32 {
	secret, ok := d.host.Secrets[name]
	if !ok {
		return d.fail(berth.ErrNotFound, "no secret is called "+name)
	}
	return d.yield(buf, []byte(secret))
}

// kv returns the code of a call of kv with an invalid key or value, or 0.
func (d *delivery) kv(key string, value []byte) int32 {
	switch {
	case slices.Contains(d.host.Denied, "kv"):
		return d.fail(berth.ErrDenied, "kv is not granted")
	case key == "":
		return d.fail(berth.ErrInvalid, "the key is empty")
	case len(key) > maxKVKey:
		return d.fail(berth.ErrTooLarge, "the key is over 256 bytes")
	case len(value) > maxKVValue:
		return d.fail(berth.ErrTooLarge, "the value is over 1 MiB")
	}
	return 0
}

func (d *delivery) KVGet(key string, buf []byte) int32 {
	if code := d.kv(key, nil); code != 0 {
		return code
	}
	value, ok := d.host.KV[key]
	if !ok {
		return d.fail(berth.ErrNotFound, "no such key")
	}
	return d.yield(buf, value)
}

func (d *delivery) KVSet(key string, value []byte) int32 {
	if code := d.kv(key, value); code != 0 {
		return code
	}
	if d.host.KV == nil {
		d.host.KV = make(map[string][]byte)
	}
	d.host.KV[key] = bytes.Clone(value)
	return 0
}

func (d *delivery) KVCAS(key string, old, value []byte) int32 {
	if code := d.kv(key, value); code != 0 {
		return code
	}
	present, ok := d.host.KV[key]
	if ok != (old != nil) || !bytes.Equal(present, old) {
		return d.fail(berth.ErrConflict, "the value differs")
	}
	return d.KVSet(key, value)
}

func (d *delivery) KVDelete(key string) int32 {
	if code := d.kv(key, nil); code != 0 {
		return code
	}
	delete(d.host.KV, key)
	return 0
}

func (d *delivery) HTTP(request string, buf []byte) int32 {
	if d.host.HTTP == nil {
		return d.fail(berth.ErrDenied, "http is not granted")
	}
	response, code := d.host.HTTP(request)
	if code != 0 {
		return d.fail(code, "refused by the test")
	}
	return d.yield(buf, []byte(response))
}

func (d *delivery) Attempt() int32 {
	if !d.open {
		return d.fail(berth.ErrInvalid, "no event is open")
	}
	return int32(max(1, d.host.Attempt))
}

func (d *delivery) Remaining() int32 {
	if !d.open {
		return d.fail(berth.ErrInvalid, "no event is open")
	}
	if d.host.Remaining == 0 {
		return 5000
	}
	return int32(d.host.Remaining.Milliseconds())
}

func (d *delivery) Last(buf []byte) int32 {
	if d.last == nil {
		return d.fail(berth.ErrInvalid, "nothing has been yielded")
	}
	return d.yield(buf, d.last)
}

func (d *delivery) Error(buf []byte) int32 { return d.yield(buf, []byte(d.text)) }
