package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// deadLetters are dead letters, latest first, and what was asked of them.
type deadLetters struct {
	list    []wire.DeadLetter
	asked   []string
	err     error
	replays []string
	status  wire.LogStatus
	last    uint64
}

func (l *deadLetters) ask(verb string, q event.DeadFilter) []wire.DeadLetter {
	l.asked = append(l.asked, fmt.Sprintf("%s %+v", verb, q))
	var found []wire.DeadLetter
	for _, d := range l.list {
		if (q.Handler == "" || q.Handler == d.Plugin) && (q.EventID == "" || q.EventID == d.EventID) {
			found = append(found, d)
		}
	}
	return found
}

func (l *deadLetters) DeadLetters(_ context.Context, q event.DeadFilter, cursor string, limit int) ([]wire.DeadLetter, string, error) {
	found := l.ask("list", q)
	from, next := 0, ""
	if cursor != "" {
		var err error
		if from, err = strconv.Atoi(cursor); err != nil {
			return nil, "", fault.Field("cursor", "is none of this list")
		}
	}
	found = found[min(from, len(found)):]
	limit = min(limit, 2) // pages shorter than asked for are allowed
	if len(found) > limit {
		found, next = found[:limit], strconv.Itoa(from+limit)
	}
	return found, next, l.err
}

func (l *deadLetters) Redrive(_ context.Context, q event.DeadFilter) (int, error) {
	return len(l.ask("redrive", q)), l.err
}

func (l *deadLetters) Purge(_ context.Context, q event.DeadFilter) (int, error) {
	return len(l.ask("purge", q)), l.err
}

func (l *deadLetters) Replay(_ context.Context, plugin string, from, to uint64) error {
	l.replays = append(l.replays, fmt.Sprintf("%s %d %d", plugin, from, to))
	return l.err
}

func (l *deadLetters) Skip(_ context.Context, from, to uint64) (event.Skipped, error) {
	l.asked = append(l.asked, fmt.Sprintf("skip %d %d", from, to))
	return event.Skipped{From: from, To: to}, l.err
}

// SeqAt: event n was published at second n.
func (l *deadLetters) SeqAt(_ context.Context, t time.Time) (uint64, error) {
	return uint64(max(1, min(t.Unix(), int64(l.last)+1))), l.err
}

func (l *deadLetters) Last() uint64 { return l.last }

func (l *deadLetters) LogStatus(context.Context) (wire.LogStatus, error) { return l.status, l.err }

// changes are what an audit log has.
type changes []wire.AuditRecord

func (c changes) Changes(q spec.AuditQuery) ([]wire.AuditRecord, string, error) {
	if len(c) <= q.Limit {
		return c, "", nil
	}
	return c[len(c)-q.Limit:], c[len(c)-q.Limit].ID, nil
}

// newDeadLetters has three dead letters, and a log of 100 events.
func newDeadLetters() *deadLetters {
	l := &deadLetters{last: 100, status: wire.LogStatus{Engine: "sqlite", FirstSeq: 1, LastSeq: 100}}
	for i, plugin := range []string{"b", "a", "a"} {
		l.list = append(l.list, wire.DeadLetter{Plugin: plugin, EventID: fmt.Sprintf("e%d", i/2), Seq: uint64(9 - i), Status: "dead", Reason: "attempts",
			Error: &wire.DeliveryError{Class: "trap", Message: "unreachable"}, Event: json.RawMessage(`{"event_type":"t"}`)})
	}
	return l
}

func TestDeliveryEndpoints(t *testing.T) {
	const deadLetters, at = "/api/v1/events/dead-letters", "2026-05-01T10:00:00Z"
	for _, tt := range []struct {
		method, path, body string
		status             int
		want, not          string // in the body
		asked              string // the last thing
	}{
		{"GET", deadLetters, "", 200, `{"items":[{"plugin":"b","event_id":"e0","seq":9,`, `"event":`, "list {"},
		{"GET", deadLetters, "", 200, `"next":"2"}`, "", ""},
		{"GET", deadLetters + "?cursor=2", "", 200, `"seq":7,`, `"seq":9`, ""},
		{"GET", deadLetters + "?cursor=2", "", 200, `"next":null}`, "", ""},
		{"GET", deadLetters + "?plugin=none", "", 200, `{"items":[],"next":null}`, "", "list {Handler:none "},
		{"GET", deadLetters + "?plugin=a&event_id=e1&event_type=t&subject=s&class=trap&since=" + at + "&until=2026-05-02T10:00:00Z&limit=5", "", 200, `"seq":7`, `"seq":8`,
			"list {Handler:a OneUnit:false EventID:e1 Type:t Subject:s Class:trap Since:2026-05-01 10:00:00 +0000 UTC Until:2026-05-02 10:00:00 +0000 UTC}"},
		{"GET", deadLetters + "/e0", "", 200, `"event":{"event_type":"t"}}`, "e1", ""},
		{"GET", deadLetters + "/e0?plugin=a", "", 200, `"next":null}`, `"plugin":"b"`, ""},
		{"POST", deadLetters + "/redrive", `{"plugin":"a"}`, 200, `{"redriven":2}`, "", "redrive {Handler:a OneUnit:false EventID: "},
		{"POST", deadLetters + "/redrive", `{"event_id":"e0"}`, 200, `{"redriven":2}`, "", "redrive {Handler: OneUnit:false EventID:e0 "},
		{"POST", deadLetters + "/purge", `{"plugin":"b","class":"trap","since":"` + at + `"}`, 200, `{"purged":1}`, "", "Class:trap Since:2026-05-01"},
		{"POST", deadLetters + "/purge", `{"plugin":"none"}`, 200, `{"purged":0}`, "", ""},
		{"GET", "/api/v1/events/log", "", 200, `{"engine":"sqlite","first_seq":1,"last_seq":100,"events":0,"scheduled":0,"bytes":0,"scheduled_bytes":0,"max_bytes":0,"oldest_at":null,"retention_s":0,"handlers":[],"full":false}`, "", ""},
		{"POST", "/api/v1/events/skip", `{"seq":7}`, 200, `{"seq":7,"to":7,"plugins":[]}`, "", "skip 7 7"},
		{"POST", "/api/v1/events/skip", `{"seq":7,"to":9}`, 200, `{"seq":7,"to":9,"plugins":[]}`, "", "skip 7 9"},
		{"POST", "/api/v1/events/skip", `{"seq":0}`, 200, `"seq":0`, "", "skip 0 0"}, // the log refuses it
		{"POST", "/api/v1/events/skip", `{}`, 400, `"field":"seq"`, "", ""},
		{"POST", "/api/v1/events/skip", `{"seq":-1}`, 400, `seq`, "", ""},
		{"POST", "/api/v1/events/plugins/order-audit/pause", "", 200, `"name":"order-audit"`, "", ""},
		{"POST", "/api/v1/events/plugins/order-audit/resume", "", 200, `"state":"active"`, "", ""},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			b := setup(t)
			l, cfg := b.deadLetters, b.cfg
			w := call(newServer(t, cfg).Handler(), tt.method, tt.path, tt.body)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) || tt.not != "" && strings.Contains(w.Body.String(), tt.not) {
				t.Fatalf("got %d: %s, want %d and %s, without %s", w.Code, w.Body, tt.status, tt.want, tt.not)
			}
			if last := strings.Join(l.asked, "\n"); tt.asked != "" && !strings.Contains(last, tt.asked) {
				t.Errorf("asked was %s, want %s", last, tt.asked)
			}
		})
	}
}

func TestDeliveryRefusals(t *testing.T) {
	const deadLetters, replay = "/api/v1/events/dead-letters", "/api/v1/events/replay"
	narrow := []string{"Authorization: Bearer narrow"}
	for _, tt := range []struct {
		method, path, body string
		headers            []string
		status             int
		field, detail      string
	}{
		{"GET", deadLetters + "?limit=501", "", nil, 400, "limit", "1 to 500"},
		{"GET", deadLetters + "?cursor=x", "", nil, 400, "cursor", ""},
		{"GET", deadLetters + "?type=t", "", nil, 400, "type", "event_type"},
		{"GET", deadLetters + "?event_type=T", "", nil, 400, "event_type", "does not match"},
		{"GET", deadLetters + "?class=bad", "", nil, 400, "class", "timeout"},
		{"GET", deadLetters + "?since=1h", "", nil, 400, "since", "RFC 3339"},
		{"GET", deadLetters + "?until=yesterday", "", nil, 400, "until", "RFC 3339"},
		{"GET", deadLetters + "?since=2026-05-01T10:00:00Z&until=2026-05-01T10:00:00Z", "", nil, 400, "until", "not after"},
		{"GET", deadLetters + "/none", "", nil, 404, "", "no dead letter for the event none"},
		{"GET", deadLetters + "/e1?plugin=b", "", nil, 404, "", "no dead letter of b"},
		{"GET", deadLetters + "/e1?class=trap", "", nil, 400, "class", ""},
		{"POST", deadLetters, `{}`, nil, 405, "", "it has GET"},
		{"DELETE", deadLetters + "/e1", "", nil, 405, "", "it has GET"},
		{"GET", deadLetters + "/redrive", "", nil, 405, "", "it has POST"},
		{"GET", deadLetters + "/purge", "", nil, 405, "", "it has POST"},
		{"POST", deadLetters + "/redrive", `{}`, nil, 400, "plugin", "or event_id"},
		{"POST", deadLetters + "/purge", `{"plugin":"a","subject":""}`, nil, 400, "subject", "empty"},
		{"POST", deadLetters + "/purge", `{"plugin":"a","event_type":""}`, nil, 400, "event_type", "empty"},
		{"POST", deadLetters + "/redrive", `{"plugin":"a","since":""}`, nil, 400, "since", "empty"},
		{"POST", deadLetters + "/redrive", `{"plugin":"a","until":"0001-01-01T00:00:00Z"}`, nil, 400, "until", "year 1"},
		{"GET", deadLetters + "?plugin=", "", nil, 400, "plugin", "empty"},
		{"POST", deadLetters + "/purge", `{"class":"trap"}`, nil, 400, "plugin", "or event_id"},
		{"POST", deadLetters + "/purge", ``, []string{"Content-Type: application/json"}, 400, "body", "empty"},
		{"POST", deadLetters + "/purge", `{"plugin":"a"}`, []string{"Content-Type: text/plain"}, 415, "Content-Type", ""},
		{"POST", deadLetters + "/purge", `{"plugin":"a","Plugin":"b"}`, nil, 400, "Plugin", ""},
		{"POST", deadLetters + "/purge?plugin=a", `{"plugin":"a"}`, nil, 400, "plugin", ""},
		{"POST", deadLetters + "/redrive", `{"plugin":"a","until":"x"}`, nil, 400, "until", ""},
		{"GET", deadLetters, "", []string{"Authorization: -"}, 401, "Authorization", ""},
		{"POST", deadLetters + "/redrive", `{"plugin":"a"}`, narrow, 403, "", "operate"},
		{"POST", deadLetters + "/purge", `{"plugin":"a"}`, narrow, 403, "", "operate"},
		{"POST", replay, `{"plugin":"a","from":1}`, narrow, 403, "", "operate"},
		{"POST", "/api/v1/events/plugins/order-audit/pause", "", narrow, 403, "", "operate"},
		{"POST", "/api/v1/events/plugins/order-audit/resume", "", narrow, 403, "", "operate"},
		{"GET", replay, "", nil, 405, "", "it has POST"},
		{"POST", "/api/v1/events/log", `{}`, nil, 405, "", "it has GET"},
		{"GET", "/api/v1/events/log?x=1", "", nil, 400, "x", ""},
		{"GET", "/api/v1/events/plugins/order-audit/pause", "", nil, 405, "", "it has POST"},
		{"POST", "/api/v1/events/plugins/none/pause", "", nil, 404, "", "none"},

		{"POST", replay, `{"from":1}`, nil, 400, "plugin", "required"},
		{"POST", replay, `{"plugin":"a"}`, nil, 400, "from", "required"},
		{"POST", replay, `{"plugin":"a","from":null}`, nil, 400, "from", "required"},
		{"POST", replay, `{"plugin":"a","from":true}`, nil, 400, "from", "string or a Seq"},
		{"POST", replay, `{"plugin":"a","from":[1]}`, nil, 400, "from", "string or a Seq"},
		{"POST", replay, `{"plugin":"a","from":-1}`, nil, 400, "from", "string or a Seq"},
		{"POST", replay, `{"plugin":"a","from":0}`, nil, 400, "from", "start at 1"},
		{"POST", replay, `{"plugin":"a","from":1.5}`, nil, 400, "from", "is not a position in the log"},
		{"POST", replay, `{"plugin":"a","from":1e2}`, nil, 400, "from", "is not a position in the log"},
		{"POST", replay, `{"plugin":"a","from":"yesterday"}`, nil, 400, "from", "1h, 7d"},
		{"POST", replay, `{"plugin":"a","from":"1h"}`, nil, 400, "from", "nothing from there on; its last event is 100"},
		{"POST", replay, `{"plugin":"a","from":101}`, nil, 400, "from", "nothing from there"},
		{"POST", replay, `{"plugin":"a","from":1,"to":"earliest"}`, nil, 400, "to", "leave it out"},
		{"POST", replay, `{"plugin":"a","from":7,"to":6}`, nil, 400, "to", "between"},
		{"POST", replay, `{"plugin":"a","from":7,"to":"1970-01-01T00:00:07Z"}`, nil, 400, "to", "between"},
		{"POST", replay, `{"plugin":"a","from":1,"until":2}`, nil, 400, "until", ""},
		{"POST", replay + "?from=1", `{"plugin":"a","from":1}`, nil, 400, "from", ""},
	} {
		t.Run(tt.method+" "+tt.path+" "+tt.body, func(t *testing.T) {
			b := setup(t)
			l, cfg := b.deadLetters, b.cfg
			w := call(newServer(t, cfg).Handler(), tt.method, tt.path, tt.body, tt.headers...)
			if w.Code != tt.status {
				t.Fatalf("got %d: %s", w.Code, w.Body)
			}
			if got := problemIn(t, w); got.Field != tt.field || !strings.Contains(got.Detail, tt.detail) {
				t.Errorf("got %+v", got)
			}
			if asked := strings.Join(l.asked, ""); strings.Contains(asked, "redrive") || strings.Contains(asked, "purge") || len(l.replays) > 0 {
				t.Errorf("something was done: %s %s", asked, l.replays)
			}
		})
	}
}

func TestReplay(t *testing.T) {
	for body, want := range map[string]string{
		`{"plugin":"a","from":1}`:                                                       "a 1 100",
		`{"plugin":"a","from":"42"}`:                                                    "a 42 100",
		`{"plugin":"a","from":"earliest","to":null}`:                                    "a 1 100",
		`{"plugin":"a","from":7,"to":7}`:                                                "a 7 7",
		`{"plugin":"a","from":7,"to":"200"}`:                                            "a 7 100",
		`{"plugin":"a","from":"1970-01-01T00:00:10Z","to":"1970-01-01T01:00:20+01:00"}`: "a 10 19",
		`{"plugin":"a","from":1,"to":"1h"}`:                                             "a 1 100",
		`{"plugin":"a","from":"36500d"}`:                                                "a 1 100",
	} {
		b := setup(t)
		l, cfg := b.deadLetters, b.cfg
		w := call(newServer(t, cfg).Handler(), "POST", "/api/v1/events/replay", body)
		if w.Code != 202 || len(l.replays) != 1 || l.replays[0] != want {
			t.Fatalf("%s: got %d, %s, asked was %q, want %q", body, w.Code, w.Body, l.replays, want)
		}
		var plugin string
		var from, to uint64
		if _, err := fmt.Sscan(want, &plugin, &from, &to); err != nil {
			t.Fatal(err)
		}
		if got := decode[wire.Replaying](t, w); got != (wire.Replaying{Plugin: plugin, FromSeq: from, ToSeq: to}) {
			t.Errorf("%s: got %+v", body, got)
		}
	}
}

// A large event with many dead letters is not sent again and again.
func TestDeadLettersOfALargeEvent(t *testing.T) {
	b := setup(t)
	l, cfg := b.deadLetters, b.cfg
	l.list = nil
	for i := range 40 {
		l.list = append(l.list, wire.DeadLetter{Plugin: fmt.Sprint(i), EventID: "e", Event: json.RawMessage(`"` + strings.Repeat("x", 1<<20) + `"`)})
	}
	w := call(newServer(t, cfg).Handler(), "GET", "/api/v1/events/dead-letters/e", "")
	list := decode[wire.List[wire.DeadLetter]](t, w)
	if len(list.Items) != 40 || list.Items[0].Event == nil || w.Body.Len() > 10<<20 {
		t.Errorf("got %d in %d bytes", len(list.Items), w.Body.Len())
	}
}

func TestErrorsOfDeliveryParts(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		after  string
	}{
		{fault.New(fault.NotFound, "no handler"), 404, ""},
		{fault.New(fault.Unavailable, "closed"), 503, ""},
		{&fault.Error{Code: fault.Unavailable, Reason: "busy", RetryAfter: 1500 * time.Millisecond}, 503, "2"},
		{fault.New(fault.Exhausted, "the disk is full"), 507, "10"},
		{fmt.Errorf("append: %w", &fault.Error{Code: fault.Exhausted, Reason: "the log has reached bus.max_size", RetryAfter: time.Minute}), 429, "60"},
		{&fault.Error{Code: fault.Exhausted, Field: "body", Reason: "too large"}, 413, ""},
		{errors.New("the secret"), 500, ""},
	} {
		for _, e := range [][3]string{
			{"GET", "/api/v1/events/dead-letters", ""}, {"GET", "/api/v1/events/dead-letters/e0", ""},
			{"POST", "/api/v1/events/dead-letters/redrive", `{"plugin":"a"}`}, {"POST", "/api/v1/events/dead-letters/purge", `{"plugin":"a"}`},
			{"POST", "/api/v1/events/replay", `{"plugin":"a","from":1}`}, {"POST", "/api/v1/events/replay", `{"plugin":"a","from":"1h"}`},
			{"GET", "/api/v1/events/log", ""},
		} {
			b := setup(t)
			l, cfg := b.deadLetters, b.cfg
			l.err = tt.err
			w := call(newServer(t, cfg).Handler(), e[0], e[1], e[2])
			if got := problemIn(t, w); got.Status != tt.status || w.Header().Get("Retry-After") != tt.after || strings.Contains(got.Detail, "secret") {
				t.Errorf("%v at %s: got %+v, Retry-After %q", tt.err, e, got, w.Header().Get("Retry-After"))
			}
		}
	}
}

// FuzzReplay checks that a requested range is a part of the log, or refused.
func FuzzReplay(f *testing.F) {
	for _, from := range []string{`1`, `"1h"`, `"earliest"`, `1e5`, `"2026-05-01T10:00:00Z"`, `{}`, `"\u0031"`, `18446744073709551615`} {
		f.Add(from, `7`)
	}
	f.Fuzz(func(t *testing.T, from, to string) {
		b := setup(t)
		l, cfg := b.deadLetters, b.cfg
		w := call(newServer(t, cfg).Handler(), "POST", "/api/v1/events/replay", `{"plugin":"a","from":`+from+`,"to":`+to+`}`)
		switch w.Code {
		case 202:
			got := decode[wire.Replaying](t, w)
			if got.FromSeq < 1 || got.FromSeq > got.ToSeq || got.ToSeq > 100 || len(l.replays) != 1 {
				t.Errorf("%s to %s: got %+v", from, to, got)
			}
		case 400:
			if len(l.replays) > 0 {
				t.Errorf("%s to %s: refused, and replayed", from, to)
			}
		default:
			t.Errorf("%s to %s: got %d: %s", from, to, w.Code, w.Body)
		}
	})
}
