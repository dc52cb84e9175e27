package desk_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/desk"
	"github.com/berth-host/berth/host/fault"
)

func guest(t *testing.T, name string) []byte { return read(t, "../../testdata/guests/"+name+".wasm") }

const everything = `{"name":"p","capabilities":[{"name":"kv"},{"name":"emit","event_types":["child_*","a"]},
	{"name":"http","hosts":["api.example.com"]},{"name":"secret","names":["token","other"]}]}`

// TestAttempts delivers events to guests with one behaviour each. want is the report as a
// golden file has it, without the fuel.
func TestAttempts(t *testing.T) {
	ok := desk.Exchange{Request: desk.Request{Method: "GET", URL: "https://api.example.com/a"}, Response: &desk.Response{Status: 200, Body: "one"}}
	second := ok
	second.Response = &desk.Response{Status: 404, Headers: map[string]string{"Content-Type": "text/plain"}, BodyBase64: "/w=="}
	broken := desk.Exchange{Request: desk.Request{Method: "GET", URL: "https://api.example.com/broken"}, Error: "UNAVAILABLE"}
	fetch := func(url string) string {
		return `{"event_type":"t","data":{"request":{"method":"GET","url":"` + url + `"}}}`
	}
	for _, tt := range []struct {
		name, guest string
		setup       desk.Setup
		attempts    int
		events      []string
		want        []string // the attempts of each event, a JSON list
	}{
		{name: "a result", guest: "echo", events: []string{`{"event_type":"t","data":{"status":"shipped"}}`},
			want: []string{`[{"attempt":1,"status":"ok","result":{"echo":"shipped"}}]`}},
		{name: "one attempt", guest: "retry_once", events: []string{`{"event_type":"t"}`},
			want: []string{`[{"attempt":1,"status":"retry","class":"retry","message":"…"}]`}},
		{name: "two attempts", guest: "retry_once", attempts: 3, events: []string{`{"event_type":"t"}`},
			want: []string{`[{"attempt":1,"status":"retry","class":"retry","message":"…"},{"attempt":2,"status":"ok","result":{"attempt":2}}]`}},
		{name: "a reject ends the attempts", guest: "reject", attempts: 3, events: []string{`{"event_type":"t"}`},
			want: []string{`[{"attempt":1,"status":"reject","class":"rejected","message":"…"}]`}},
		{name: "a trap, and a fresh instance", guest: "trap_on_event", attempts: 2, events: []string{`{"event_type":"t","data":{"trap":true}}`},
			want: []string{`[{"attempt":1,"status":"failed","class":"trap","message":"…"},{"attempt":2,"status":"failed","class":"trap","message":"…"}]`}},
		{name: "state", guest: "kv_counter", setup: desk.Setup{KV: map[string]string{"count": "7"}},
			events: []string{`{"event_type":"t"}`, `{"event_type":"t","data":{"reset":true}}`},
			want: []string{`[{"attempt":1,"status":"ok","result":{"count":8},"kv":[{"key":"count","before":"7","after":"8"}]}]`,
				`[{"attempt":1,"status":"ok","result":{"count":0},"kv":[{"key":"count","before":"8","after":null}]}]`}},
		{name: "no state is granted", guest: "kv_counter", setup: desk.Setup{Deny: []string{"kv"}}, events: []string{`{"event_type":"t"}`},
			want: []string{`[{"attempt":1,"status":"ok","result":{"code":-3,"error":"…"}}]`}},
		{name: "children", guest: "emit_children", events: []string{`{"event_type":"t","data":{"child":{"event_type":"a","data":1,"metadata":{"subject":"s"}}}}`},
			want: []string{`[{"attempt":1,"status":"ok","result":{"emitted":1},"children":[{"event_type":"a","data":1,"subject":"s","idempotency_key":"p/0197a3c5-7b1e-7000-8000-000000000001/0"}]}]`}},
		{name: "secrets", guest: "secret_echo", setup: desk.Setup{Secrets: map[string]string{"token": "s3"}},
			events: []string{`{"event_type":"t","data":{"name":"token"}}`, `{"event_type":"t","data":{"name":"other"}}`, `{"event_type":"t","data":{"name":"third"}}`},
			want: []string{`[{"attempt":1,"status":"ok","result":{"secret":"s3"}}]`, `[{"attempt":1,"status":"ok","result":{"code":-4,"error":"…"}}]`,
				`[{"attempt":1,"status":"ok","result":{"code":-3,"error":"…"}}]`}},
		{name: "answers in their order, and then the last again", guest: "http_fetch", setup: desk.Setup{HTTP: []desk.Exchange{ok, second, broken}},
			events: []string{fetch("https://api.example.com/a"), fetch("https://api.example.com/a"), fetch("https://api.example.com/a")},
			want: []string{
				`[{"attempt":1,"status":"ok","result":{"status":200,"headers":{},"body":"one"},"http":[{"method":"GET","url":"https://api.example.com/a","status":200}]}]`,
				`[{"attempt":1,"status":"ok","result":{"status":404,"headers":{"content-type":"text/plain"},"body_base64":"/w=="},"http":[{"method":"GET","url":"https://api.example.com/a","status":404}]}]`,
				`[{"attempt":1,"status":"ok","result":{"status":404,"headers":{"content-type":"text/plain"},"body_base64":"/w=="},"http":[{"method":"GET","url":"https://api.example.com/a","status":404}]}]`}},
		{name: "no answer", guest: "http_fetch", setup: desk.Setup{HTTP: []desk.Exchange{ok, broken}},
			events: []string{fetch("https://api.example.com/broken"), fetch("https://api.example.com/b"), fetch("https://elsewhere.example.com/")},
			want: []string{
				`[{"attempt":1,"status":"ok","result":{"code":-6,"error":"…"},"http":[{"method":"GET","url":"https://api.example.com/broken","error":"no answer came, as recorded"}]}]`,
				`[{"attempt":1,"status":"ok","result":{"code":-6,"error":"…"},"http":[{"method":"GET","url":"https://api.example.com/b","error":"no answer is recorded for GET https://api.example.com/b"}]}]`,
				`[{"attempt":1,"status":"ok","result":{"code":-3,"error":"…"},"http":[{"method":"GET","url":"https://elsewhere.example.com/","error":"the host elsewhere.example.com is not granted to this plugin"}]}]`}},
		{name: "log lines without a quota", guest: "log_lines", events: []string{`{"event_type":"t","data":{"lines":1}}`},
			want: []string{`[{"attempt":1,"status":"ok","result":{"lines":1},"logs":[{"level":"…","message":"…"}]}]`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, load(t, guest(t, tt.guest), everything), tt.setup)
			for i, d := range run(t, s, max(1, tt.attempts), tt.events...) {
				golden := desk.NewGolden("p", []desk.Delivery{d}).Deliveries[0].Attempts
				for j := range golden {
					if golden[j].Fuel == 0 || d.Attempts[j].Memory == 0 {
						t.Errorf("event %d: fuel %d, memory %d", i, golden[j].Fuel, d.Attempts[j].Memory)
					}
					golden[j].Fuel = 0
				}
				got, err := json.Marshal(golden)
				if err != nil {
					t.Fatal(err)
				}
				if text := strings.ReplaceAll(string(got), `,"fuel":0`, ""); !like(tt.want[i], text) {
					t.Errorf("event %d:\n got %s\nwant %s", i, text, tt.want[i])
				}
			}
		})
	}
}

// like reports whether got is want, in which … is any text.
func like(want, got string) bool {
	parts := strings.Split(want, "…")
	if len(parts) == 1 {
		return want == got
	}
	for i, part := range parts {
		at := strings.Index(got, part)
		if at < 0 || i == 0 && at > 0 {
			return false
		}
		got = got[at+len(part):]
	}
	return got == "" || parts[len(parts)-1] == ""
}

func TestManyLogLines(t *testing.T) {
	s := start(t, load(t, guest(t, "log_lines"), everything), desk.Setup{})
	if got := len(run(t, s, 1, `{"event_type":"t","data":{"lines":3000}}`)[0].Last().Logs); got != 3000 {
		t.Errorf("got %d log lines, want all 3000", got)
	}
}

func TestConfigMustFitTheSchema(t *testing.T) {
	p := load(t, guest(t, "config_echo"), `{"name":"p","config_schema":{"type":"object","required":["n"],"properties":{"n":{"type":"integer"}}}}`)
	for _, config := range []string{"", `{"n":"x"}`} {
		_, err := p.Start(t.Context(), desk.Setup{Config: json.RawMessage(config)})
		if err == nil || !strings.Contains(err.Error(), "does not fit the config_schema") {
			t.Errorf("%s: got %v", config, err)
		}
	}
	d := run(t, start(t, p, desk.Setup{Config: json.RawMessage(`{"n":1}`)}), 1, `{"event_type":"t"}`)[0].Last()
	if !strings.Contains(string(d.Result), `"n":1`) {
		t.Errorf("got %s", d.Result)
	}
}

// A module that cannot start is an error with its reason; so is an instance that does not
// end after END.
func TestStartsAndStops(t *testing.T) {
	p := load(t, guest(t, "trap_before_next"), "")
	if _, err := p.Start(t.Context(), desk.Setup{}); !fault.Is(err, fault.Trap) {
		t.Errorf("got %v, want a trap", err)
	}
	s, err := load(t, guest(t, "next_after_end"), "").Start(t.Context(), desk.Setup{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "did not return after END") {
		t.Errorf("got %v", err)
	}
}

func TestDeliverEndsWithTheContext(t *testing.T) {
	p := load(t, guest(t, "slow"), `{"name":"p","limits":{"timeout":"1h"}}`)
	s, err := p.Start(t.Context(), desk.Setup{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	events, err := desk.ParseEvents([]byte(`{"event_type":"t","data":{"ms":3600000,"n":1000000000}}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.DeliverAll(ctx, events[0], 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	_ = s.Stop(ctx) // it may have been stopped while it ran
}

// The report has the memory that the instance has grown to.
func TestMemoryIsReported(t *testing.T) {
	d := run(t, start(t, load(t, guest(t, "grow_memory"), ""), desk.Setup{}), 1, `{"event_type":"t"}`, `{"event_type":"t","data":{"pages":8}}`)
	if grown := d[1].Last().Memory - d[0].Last().Memory; grown != 8<<16 {
		t.Errorf("it has grown by %d bytes, want 8 pages", grown)
	}
}

// TestWorkAfterFinishCountsForItsEvent: an event's fuel has what the guest does until it asks
// for the next event, so a fuel tolerance guards that as well.
func TestWorkAfterFinishCountsForItsEvent(t *testing.T) {
	p := load(t, guest(t, "late_work"), `{"name":"p"}`)
	s, err := p.Start(t.Context(), desk.Setup{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	events, err := desk.ParseEvents([]byte(strings.Repeat(`{"event_type":"t","data":{"rounds":0}}`+"\n"+`{"event_type":"t","data":{"rounds":50}}`+"\n", 3)))
	if err != nil {
		t.Fatal(err)
	}
	var fuel []uint64
	for _, ev := range events {
		a, err := s.Deliver(t.Context(), ev, 1)
		if err != nil || a.Status != desk.StatusOK {
			t.Fatalf("got %+v, %v", a, err)
		}
		fuel = append(fuel, a.Fuel)
	}
	for i, used := range fuel {
		if used != fuel[i%2] || i%2 == 1 && used < fuel[0]+50_000 {
			t.Errorf("event %d used %d; all: %v", i+1, used, fuel)
		}
	}
}
