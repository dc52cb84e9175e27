package berthtest

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"
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
	maxBatch     = 1000
	maxResults   = 8 << 20 // of a batch
	maxDeferral  = 366 * 24 * time.Hour
)

// delivery is the wire.Host of one or more deliveries to one instance.
type delivery struct {
	host     *Host
	waiting  []string // envelopes yet to be taken
	envelope string   // the open event's
	events   int      // in the open batch; 0: it is no batch
	open     bool
	refused  string     // why the open event was not finished
	children [][]string // of the open event, or of each event of the open batch
	state    overlay    // of the open event, if the host is atomic
	outcome  Outcome    // of the open event, as far as it has one
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
	d.events = batchSize(d.envelope)
	d.children = make([][]string, max(1, d.events))
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
		if refused := d.succeed(text); refused != "" {
			d.refused = refused
			return d.fail(berth.ErrInvalid, refused)
		}
		d.state.commit(d.host)
	case statusRetry:
		d.end(Retry, text)
	case statusReject:
		d.end(Rejected, text)
	default:
		d.refused = "no such status"
		return d.fail(berth.ErrInvalid, d.refused)
	}
	d.open, d.refused, d.children, d.state, d.outcome = false, "", nil, overlay{}, Outcome{}
	return 0
}

// succeed closes the open event, or batch, with a result, or returns why it is refused.
func (d *delivery) succeed(text string) (refused string) {
	if d.events > 0 {
		return d.succeedBatch(text)
	}
	if len(text) > maxResult {
		panic("the result is over 64 KiB: the host ends an instance for that")
	}
	if text != "" && (!utf8.ValidString(text) || !json.Valid([]byte(text))) {
		return "the result is not JSON"
	}
	d.outcome.Status, d.outcome.Result, d.outcome.Children = OK, text, d.children[0]
	d.outcomes = append(d.outcomes, d.outcome)
	return ""
}

// end closes the open event, or all events of the open batch, with a reason.
func (d *delivery) end(status Status, reason string) {
	d.outcome.Status, d.outcome.Reason = status, line(reason)
	for range max(1, d.events) {
		d.outcomes = append(d.outcomes, d.outcome)
	}
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
	var c childEvent
	dec := json.NewDecoder(strings.NewReader(child))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return d.fail(berth.ErrInvalid, err.Error())
	}
	if dec.More() {
		return d.fail(berth.ErrInvalid, "unexpected data after the child")
	}
	if invalid := c.check(d.events, d.host.now()); invalid != "" {
		return d.fail(berth.ErrInvalid, invalid)
	}
	children := &d.children[c.parent()]
	if len(*children) == maxChildren {
		panic("the event has 64 children already: the host ends an instance for one more")
	}
	*children = append(*children, child)
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

func (d *delivery) Trace(buf []byte) int32 {
	if !d.open {
		return d.fail(berth.ErrInvalid, "no event is open")
	}
	if d.host.Trace == "" {
		return d.fail(berth.ErrNotFound, "the attempt is not traced")
	}
	return d.yield(buf, []byte(d.host.Trace))
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
