package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/events"
	"github.com/berth-host/berth/host/wire"
)

// desk runs commands against a host that gives prepared answers, and keeps what
// it was asked.
type desk struct {
	answers map[string]string // by "METHOD path", without the query
	asked   []string          // "METHOD path?query content-type body"
}

func newDesk(t *testing.T, answers map[string]string) *desk {
	d := &desk{answers: answers}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" { // as each command does first
			w.Header().Set(wire.VersionHeader, "test")
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		d.asked = append(d.asked, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", r.Method, r.URL, r.Header.Get("Content-Type"), body)))
		answer, ok := d.answers[r.Method+" "+r.URL.Path]
		w.Header().Set(wire.VersionHeader, "test")
		if !ok {
			w.Header().Set("Content-Type", client.ProblemType)
			w.WriteHeader(404)
			_ = json.NewEncoder(w).Encode(wire.Problem{Title: "Not Found", Status: 404, Detail: "there is nothing"})
			return
		}
		w.Header().Set("Content-Type", client.JSONType)
		w.WriteHeader(client.Success(r.Method, r.URL.Path)[0])
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	t.Setenv("BERTH_URL", s.URL)
	t.Setenv("BERTH_TOKEN", "t")
	return d
}

// complete is the JSON of a T with these members, and the others empty.
func complete[T any](members string) string {
	var v T
	if err := json.Unmarshal([]byte(members), &v); err != nil {
		panic(err)
	}
	fill(reflect.ValueOf(&v).Elem())
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// fill makes lists of a value that are nil empty.
func fill(v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[json.RawMessage](), v.Type() == reflect.TypeFor[time.Time]():
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case v.Kind() == reflect.Slice:
		if v.IsNil() {
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		}
		for i := range v.Len() {
			fill(v.Index(i))
		}
	}
}

// run is one command line, and what came of it.
func (d *desk) run(t *testing.T, stdin, line string) (code int, stdout, stderr string) {
	t.Helper()
	d.asked = nil
	var out, errs bytes.Buffer
	code = doMain(t.Context(), strings.Fields(line), strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

const oneDeadLetter = `{"plugin":"fraud-check","event_id":"01a227c8-ec24-76f7-b0c4-5e2c7f064963","seq":9,"event_type":"order_placed","subject":"A\u001b1","idempotency_key":"k","status":"dead",` +
	`"reason":"attempts","attempts":5,"error":{"class":"trap","message":"unreachable\nat main"},"published_at":"2026-05-01T10:00:00Z",` +
	`"first_attempt_at":"2026-05-01T10:00:01Z","at":"2026-05-01T10:00:09Z"`

// delivered is a delivery with these members.
func delivered(members string) string { return complete[wire.Delivery]("{" + members + "}") }

var deliveryAnswers = map[string]string{
	"GET /api/v1/events/dead-letters":                                      `{"items":[` + oneDeadLetter + `},` + oneDeadLetter + `}],"next":"7"}`,
	"GET /api/v1/events/dead-letters/01a227c8-ec24-76f7-b0c4-5e2c7f064963": `{"items":[` + oneDeadLetter + `,"event":{"event_type":"order_placed"}}],"next":null}`,
	"POST /api/v1/events/dead-letters/redrive":                             `{"redriven":1}`,
	"POST /api/v1/events/dead-letters/purge":                               `{"purged":12}`,
	"POST /api/v1/events/replay":                                           `{"plugin":"fraud-check","from_seq":3,"to_seq":9}`,
	"POST /api/v1/events/plugins/fraud-check/pause":                        complete[wire.Plugin](`{"name":"fraud-check","state":"paused","reason":"by the operator"}`),
	"GET /api/v1/events/log": `{"engine":"sqlite","first_seq":3,"last_seq":9,"events":7,"scheduled":0,"scheduled_bytes":0,"bytes":2048,"max_bytes":4096,"oldest_at":"2026-05-01T10:00:00Z","retention_s":608400,` +
		`"handlers":[{"plugin":"fraud-check","lag":2,"cursor":7,"oldest_at":null,"open":1,"dead":3,"lost":5}],"full":true}`,
	"GET /api/v1/events/01a227c8-ec24-76f7-b0c4-5e2c7f064963": `{"seq":9,"event_type":"order_placed","data":{},` +
		`"metadata":{"event_id":"01a227c8-ec24-76f7-b0c4-5e2c7f064963"},"deliveries":[` +
		delivered(`"plugin":"a","status":"ok","attempts":1,"result":{"n":1},"duration_ms":0.25,"fuel":1234,"at":"2026-05-01T10:00:00Z","sha256":"0123456789abcdef"`) + "," +
		delivered(`"plugin":"b","status":"ok","attempts":1,"duration_ms":0.25`) + "," +
		delivered(`"plugin":"c","status":"ok","attempts":1,"result_kept":false`) + "," +
		delivered(`"plugin":"d","status":"pending","attempts":0,"at":"2026-05-01T10:00:00Z"`) + "," +
		delivered(`"plugin":"e","status":"dead","attempts":0,"at":"2026-05-01T10:00:00Z"`) + `]}`,
	"POST /api/v1/events": `{"event_id":"E","idempotency_key":"K","duplicate":true}`,
}

func TestDeliveryCommands(t *testing.T) {
	d := newDesk(t, deliveryAnswers)
	for _, tt := range []struct {
		line   string
		code   int
		stdout []string
		stderr string
		asked  string
	}{
		{"events dead-letters list", 0, []string{"SEQ", "9", "01a227c8-ec24-76f7-b0c4-5e2c7f064963", "fraud-check", "A\uFFFD1", "attempts", "trap: unreachable\n"}, "--cursor 7", "GET /api/v1/events/dead-letters?limit=50"},
		{"events dead-letters list --plugin p --event e --type t --subject s --class trap --since 2026-05-01T12:00:00+02:00 --until 2026-05-02T10:00:00Z --limit 3 --cursor c", 0, nil, "",
			"GET /api/v1/events/dead-letters?class=trap&cursor=c&event_id=e&event_type=t&limit=3&plugin=p&since=2026-05-01T10%3A00%3A00Z&subject=s&until=2026-05-02T10%3A00%3A00Z"},
		{"events dead-letters list --json", 0, []string{`"next":"7"}`}, "", ""},
		{"events dead-letters list --since 12", 2, nil, "--since must be a time, or a duration", ""},
		{"events dead-letters list --until soon", 2, nil, "--until: \"soon\" is not a position", ""},
		{"events dead-letters show 01a227c8-ec24-76f7-b0c4-5e2c7f064963 --plugin fraud-check", 0, []string{"reason     attempts after 5 attempts", "error      trap: unreachable\n  at main", `envelope   {"event_type":"order_placed"}`}, "",
			"GET /api/v1/events/dead-letters/01a227c8-ec24-76f7-b0c4-5e2c7f064963?plugin=fraud-check"},
		{"events dead-letters show 01b227c8-ec24-76f7-b0c4-5e2c7f064963", 1, nil, "there is nothing", ""},
		{"events dead-letters show", 2, nil, "accepts 1 arg", ""},
		{"events dead-letters redrive", 2, nil, "give --plugin or --event", ""},
		{"events dead-letters redrive --class trap", 2, nil, "give --plugin or --event", ""},
		{"events dead-letters redrive --event e1", 0, []string{"1 dead letter on the way again\n"}, "", `POST /api/v1/events/dead-letters/redrive application/json {"event_id":"e1"}`},
		{"events dead-letters purge --plugin p --class trap --yes", 0, []string{"12 dead letters removed\n"}, "", `POST /api/v1/events/dead-letters/purge application/json {"plugin":"p","class":"trap"}`},
		{"events dead-letters purge --plugin p --json --yes", 0, []string{`{"purged":12}`}, "", ""},
		{"events show 01a227c8-ec24-76f7-b0c4-5e2c7f064963", 0, []string{"HANDLER  STATUS   ATTEMPTS  TOOK     ANSWER\n",
			"a        ok       1         0.25 ms  {\"n\":1}\n", "b        ok       1         0.25 ms  -\n",
			"c        ok       1         -        (result not kept)\n", "d        pending  0         -        -\n",
			"e        dead     0         -        -\n"}, "", "GET /api/v1/events/01a227c8-ec24-76f7-b0c4-5e2c7f064963"},
		{"events show --wide 01a227c8-ec24-76f7-b0c4-5e2c7f064963", 0, []string{" FUEL ", " ENDED ", "ok       1         0.25 ms  1234  ",
			"  0123456789abcdef  {\"n\":1}\n", "  -                 (result not kept)\n",
			"d        pending  0         -        -     -                    -                 -\n",
			"e        dead     0         -        -     2026-05-01 10:00:00  -                 -\n"}, "", ""},
		{"events show --json 01a227c8-ec24-76f7-b0c4-5e2c7f064963", 0, []string{`"result_kept":false`, `"sha256":"0123456789abcdef"`}, "", ""},
		{"events dead-letters nonsense", 2, nil, "unknown command", ""},
		{"events replay --plugin fraud-check --from 1h --to 12", 0, []string{"fraud-check gets the events 3 to 9 that it takes again"}, "",
			`POST /api/v1/events/replay application/json {"plugin":"fraud-check","from":"1h","to":"12"}`},
		{"events replay --plugin fraud-check --from earliest --json", 0, []string{`"from_seq":3`}, "", `POST /api/v1/events/replay application/json {"plugin":"fraud-check","from":"earliest"}`},
		{"events replay --plugin fraud-check", 2, nil, `"from" not set`, ""},
		{"events replay --plugin fraud-check --from yesterday", 2, nil, "--from: ", ""},
		{"events replay --plugin fraud-check --from 1 --to 0", 2, nil, "--to: ", ""},
		{"events log", 0, []string{"engine     sqlite, FULL: it takes no events", "events     7, from 3 to 9", "2.0 KiB (of 4.0 KiB, 50 %)", "retention  7d 1h0m0s", "HANDLER", "fraud-check  2    7       1     3     -       5"}, "",
			"GET /api/v1/events/log"},
		{"events log --json", 0, []string{`"max_bytes":4096`}, "", ""},
		{"plugin pause fraud-check", 0, []string{"state       paused: by the operator"}, "", "POST /api/v1/events/plugins/fraud-check/pause"},
		{"plugin resume fraud-check", 1, nil, "there is nothing", "POST /api/v1/events/plugins/fraud-check/resume"},
		{"plugin pause", 2, nil, "accepts 1 arg", ""},
	} {
		t.Run(tt.line, func(t *testing.T) {
			code, stdout, stderr := d.run(t, "", tt.line)
			if code != tt.code || !strings.Contains(stderr, tt.stderr) {
				t.Fatalf("got %d: %s%s", code, stdout, stderr)
			}
			for _, want := range tt.stdout {
				if !strings.Contains(stdout, want) {
					t.Errorf("%q is missing in\n%s", want, stdout)
				}
			}
			if tt.code == 2 && len(d.asked) > 0 {
				t.Errorf("the host was asked: %q", d.asked)
			}
			if tt.asked != "" && (len(d.asked) != 1 || d.asked[0] != tt.asked) {
				t.Errorf("asked was\n%q, want\n%q", d.asked, tt.asked)
			}
		})
	}
}

// A person is asked, with the number, before more than one dead letter is changed.
func TestDeadLettersAsk(t *testing.T) {
	one := complete[wire.DeadLetter]("{}")
	many := strings.TrimSuffix(strings.Repeat(one+",", 6000), ",")
	for _, tt := range []struct {
		name, page, flags, answer string
		question                  string
		changed                   bool
	}{
		{"yes", `{"items":[` + one + `,` + one + `,` + one + `],"next":null}`, "", "Yes\n", "Remove 3 dead letters permanently? [y/N] ", true},
		{"y without a line's end", `{"items":[` + one + `,` + one + `],"next":null}`, "", "y", "Remove 2 dead letters", true},
		{"no", `{"items":[` + one + `,` + one + `],"next":null}`, "", "no\n", "Remove 2 dead letters", false},
		{"nothing", `{"items":[` + one + `,` + one + `],"next":null}`, "", "", "Remove 2 dead letters", false},
		{"endless", `{"items":[` + many + `],"next":"1"}`, "", "\n", "Remove more than 12000 dead letters", false},
		{"one", `{"items":[` + one + `],"next":null}`, "", "", "", true},
		{"none", `{"items":[],"next":null}`, "", "", "", true},
		{"with --yes", `{"items":[` + one + `,` + one + `],"next":null}`, "--yes", "", "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, map[string]string{"GET /api/v1/events/dead-letters": tt.page, "POST /api/v1/events/dead-letters/purge": `{"purged":3}`})
			var out, errs bytes.Buffer
			err := atTerminal(t, tt.answer, &out, &errs, "events dead-letters purge --plugin p "+tt.flags)
			changed := strings.Contains(strings.Join(d.asked, "\n"), "POST")
			if changed != tt.changed || (err == nil) != tt.changed || !strings.HasPrefix(errs.String(), tt.question) || tt.question == "" && errs.Len() > 0 {
				t.Errorf("got %v, changed: %v, asked with %q: %q", err, changed, errs.String(), d.asked)
			}
		})
	}
}

func TestPublishFile(t *testing.T) {
	const both = `{"items":[{"event_id":"E1","idempotency_key":"K1","duplicate":false},{"event_id":"","idempotency_key":"K2","duplicate":false,"error":{"type":"about:blank","code":"conflict","title":"Conflict","status":409,"detail":"was used before","field":"[1].metadata.idempotency_key"}}],"next":null}`
	for _, tt := range []struct {
		name, text, answer string
		flags              string
		kind               string
		code               int
		stdout, stderr     string
	}{
		{"native", ` {"event_type":"t"}`, deliveryAnswers["POST /api/v1/events"], "", "application/json", 0, "E (a duplicate: it was published before)\n", ""},
		{"a CloudEvent", `{"specversion":"1.0"}`, `{"event_id":"E","idempotency_key":"K","duplicate":false}`, "", "application/cloudevents+json", 0, "E\n", ""},
		{"a list", `[{"event_type":"t"},{"event_type":"u"}]`, both, "", "application/json", 1, "E1\n", "[1].metadata.idempotency_key: was used before"},
		{"CloudEvents", "\n[{\"specversion\":\"1.0\"}]", `{"items":[{"event_id":"E","idempotency_key":"K","duplicate":false}],"next":null}`, "", "application/cloudevents-batch+json", 0, "E\n", ""},
		{"as JSON", `[{"event_type":"t"},{"event_type":"u"}]`, both, "--json", "application/json", 1, both + "\n", "1 of 2 events were not published"},
		{"no JSON", `{`, `{"event_id":"E","idempotency_key":"K","duplicate":false}`, "", "application/json", 0, "E\n", ""}, // the host says what is wrong with it
		{"an odd answer", `{}`, `[]`, "", "application/json", 1, "", "not what was expected"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, map[string]string{"POST /api/v1/events": tt.answer})
			path := filepath.Join(t.TempDir(), "events.json")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, from := range []string{path, "-"} {
				code, stdout, stderr := d.run(t, tt.text, "events publish "+from+" "+tt.flags)
				if code != tt.code || stdout != tt.stdout || !strings.Contains(stderr, tt.stderr) {
					t.Errorf("%s: got %d: %q, %q", from, code, stdout, stderr)
				}
				if want := "POST /api/v1/events " + tt.kind + " " + strings.TrimSpace(tt.text); len(d.asked) != 1 || strings.Join(strings.Fields(d.asked[0]), " ") != want {
					t.Errorf("%s: asked was %q, want %q", from, d.asked, want)
				}
			}
		})
	}
	d := newDesk(t, nil)
	for line, code := range map[string]int{"events publish": 2, "events publish none.json": 1} {
		if got, _, stderr := d.run(t, "", line); got != code || len(d.asked) > 0 {
			t.Errorf("%s: got %d, %s", line, got, stderr)
		}
	}
	if code, _, stderr := d.run(t, strings.Repeat(" ", events.MaxPublish+1), "events publish -"); code != 1 || !strings.Contains(stderr, "over the limit") {
		t.Errorf("a large file: got %d, %s", code, stderr)
	}
}
