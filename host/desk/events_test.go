package desk_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/desk"
	"github.com/berth-host/berth/host/event"
)

func TestParseEvents(t *testing.T) {
	const id = "0197a3c5-7b1e-7000-8000-00000000000"
	for _, tt := range []struct{ name, line, want string }{
		{"only a type", `{"event_type":"t"}`,
			`{"event_type":"t","data":null,"metadata":{"event_id":"` + id + `1","idempotency_key":"` + id + `1","source":"api","subject":"","time":"2026-01-02T03:04:05Z","correlation_id":"` + id + `1","hops":0}}`},
		{"the second line", "\n" + `{"event_type":"t", "data": {"a": 1.0}}`,
			`{"event_type":"t","data":{"a":1.0},"metadata":{"event_id":"` + id + `2","idempotency_key":"` + id + `2","source":"api","subject":"","time":"2026-01-02T03:04:06Z","correlation_id":"` + id + `2","hops":0}}`},
		{"a producer's envelope", "\ufeff" + `{"event_type":"t","data":"<x>","metadata":{"subject":"s","idempotency_key":"k","time":"2027-01-02T03:04:05Z"}}`,
			`{"event_type":"t","data":"<x>","metadata":{"event_id":"` + id + `1","idempotency_key":"k","source":"api","subject":"s","time":"2027-01-02T03:04:05Z","correlation_id":"` + id + `1","hops":0}}`},
		{"a whole envelope", `{"event_type":"t","data":{"h":"<&>` + "\u2028" + `"},"metadata":{"event_id":"0197a3c5-0000-7000-8000-000000000009","idempotency_key":"k","source":"orders","subject":"s","time":"2027-01-02T03:04:05.5Z","correlation_id":"c","causation_id":"d","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","hops":3}}`,
			`{"event_type":"t","data":{"h":"<&>` + "\u2028" + `"},"metadata":{"event_id":"0197a3c5-0000-7000-8000-000000000009","idempotency_key":"k","source":"orders","subject":"s","time":"2027-01-02T03:04:05.5Z","correlation_id":"c","causation_id":"d","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","hops":3}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			events, err := desk.ParseEvents([]byte(tt.line))
			if err != nil {
				t.Fatal(err)
			}
			if got := events[0].Envelope(); got != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestParseEventsRefuses(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", " \n\n", "there are no events: write one on each line"},
		{"no type", `{"event_type":"t"}` + "\n{}", "line 2: event_type: is required"},
		{"no JSON", "{", "line 1: "},
		{"a list", `[{"event_type":"t"}]`, "line 1: "},
		{"an unknown key", `{"event_type":"t","date":1}`, "date"},
		{"an unknown key beside an id", `{"event_type":"t","metadata":{"hops":1,"subjekt":"s"}}`, "subjekt"},
		{"a malformed id", `{"event_type":"t","metadata":{"event_id":"7"}}`, "line 1: metadata.event_id: is \"7\""},
		{"too many hops", `{"event_type":"t","metadata":{"hops":17}}`, "hops"},
		{"hops that are no number", `{"event_type":"t","metadata":{"hops":"1"}}`, "hops"},
		{"a malformed time", `{"event_type":"t","metadata":{"time":"yesterday"}}`, "time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if events, err := desk.ParseEvents([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, %v, want %q", events, err, tt.want)
			}
		})
	}
}

func TestParseExchangesRefuses(t *testing.T) {
	const request = `"request":{"method":"GET","url":"https://a.example/"}`
	for _, tt := range []struct{ name, text, want string }{
		{"no list", `{}`, "must be an array"},
		{"an unknown key", `[{` + request + `,"answer":{}}]`, "answer"},
		{"no request", `[{"response":{"status":200}}]`, "entry 1: request: method and url are required"},
		{"no answer", `[{` + request + `}]`, "exactly one of response and error"},
		{"two answers", `[{` + request + `,"response":{"status":200},"error":"TIMEOUT"}]`, "exactly one of response and error"},
		{"another error", `[{` + request + `,"error":"BROKEN"}]`, "not UNAVAILABLE, TIMEOUT or TOO_LARGE"},
		{"no status", `[{` + request + `,"response":{"body":"x"}}]`, "the status 0 is not 200 to 599"},
		{"a bad body", `[{` + request + `,"response":{"status":200,"body_base64":"?"}}]`, "body_base64"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if list, err := desk.ParseExchanges([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, %v, want %q", list, err, tt.want)
			}
		})
	}
	list, err := desk.ParseExchanges([]byte(`[{` + request + `,"response":{"status":204}},{` + request + `,"error":"TIMEOUT"}]`))
	if err != nil || len(list) != 2 {
		t.Errorf("got %v, %v", list, err)
	}
}

func TestParseConfig(t *testing.T) {
	if config, err := desk.ParseConfig([]byte("{ \"n\": 1.0 }\n")); err != nil || string(config) != `{"n":1.0}` {
		t.Errorf("got %s, %v", config, err)
	}
	for _, text := range []string{"", "[]", "null", `{"a":1,"a":2}`} {
		if config, err := desk.ParseConfig([]byte(text)); err == nil {
			t.Errorf("%q: got %s, want an error", text, config)
		}
	}
}

func TestGoldenDifferences(t *testing.T) {
	base := desk.Delivery{EventID: "e", EventType: "t", Attempts: []desk.Attempt{{Number: 1, Status: "ok", Result: json.RawMessage(`{"a": 1}`), Fuel: 1000,
		Logs: []desk.Line{{Level: "info", Message: "x"}}, Children: []desk.Child{{Type: "c", Data: json.RawMessage(`{"n":1}`)}}}}}
	with := func(change func(*desk.Attempt)) desk.Golden {
		d := base
		d.Attempts = append([]desk.Attempt(nil), d.Attempts...)
		change(&d.Attempts[0])
		return desk.NewGolden("p", []desk.Delivery{d})
	}
	golden := desk.NewGolden("p", []desk.Delivery{base})
	text, err := golden.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if golden, err = desk.ParseGolden(text); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		run  desk.Golden
		fuel desk.Tolerance
		want string // what differs, "" for nothing
	}{
		{"the same", with(func(*desk.Attempt) {}), 0, ""},
		{"times and memory", with(func(a *desk.Attempt) { a.DurationMS, a.Memory = 7, 7 }), 0, ""},
		{"the spelling of a result", with(func(a *desk.Attempt) { a.Result = json.RawMessage(`{"a":1}`) }), 0, ""},
		{"a result", with(func(a *desk.Attempt) { a.Result = json.RawMessage(`{"a":2}`) }), -1, "result"},
		{"no result", with(func(a *desk.Attempt) { a.Result = nil }), -1, "result"},
		{"a log line", with(func(a *desk.Attempt) { a.Logs = nil }), -1, "logs[0]"},
		{"a second log line", with(func(a *desk.Attempt) { a.Logs = append(a.Logs[:1:1], desk.Line{}) }), -1, "logs[1]"},
		{"a child", with(func(a *desk.Attempt) { a.Children = []desk.Child{{Type: "d"}} }), -1, "children[0]"},
		{"state", with(func(a *desk.Attempt) { a.KV = []desk.Change{{Key: "k"}} }), -1, "kv[0]"},
		{"a request", with(func(a *desk.Attempt) { a.HTTP = []desk.Call{{URL: "u"}} }), -1, "http[0]"},
		{"a failure", with(func(a *desk.Attempt) {
			a.Status, a.Class, a.Message, a.Result = "failed", "trap", "boom\nstack", base.Attempts[0].Result
		}), -1, "status class message"},
		{"more fuel, not compared", with(func(a *desk.Attempt) { a.Fuel = 5000 }), -1, ""},
		{"fuel within the tolerance", with(func(a *desk.Attempt) { a.Fuel = 1050 }), 0.05, ""},
		{"fuel beyond the tolerance", with(func(a *desk.Attempt) { a.Fuel = 1051 }), 0.05, "fuel"},
		{"less fuel", with(func(a *desk.Attempt) { a.Fuel = 1 }), 0, ""},
		{"no events", desk.NewGolden("p", nil), 0, "events"},
		{"another event", desk.NewGolden("p", []desk.Delivery{{EventID: "f", EventType: "u", Attempts: base.Attempts}}), 0, "event_type event_id"},
		{"another attempt", desk.NewGolden("p", []desk.Delivery{{EventID: "e", EventType: "t", Attempts: append(base.Attempts[:1:1], base.Attempts[0])}}), 0, "attempts"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var what []string
			for _, d := range golden.Compare(tt.run, tt.fuel) {
				what = append(what, d.What)
			}
			if got := strings.Join(what, " "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestDifferenceTexts: a golden file spreads a result over several lines, and a failed attempt
// has none.
func TestDifferenceTexts(t *testing.T) {
	golden := desk.Golden{Deliveries: []desk.Delivery{{Attempts: []desk.Attempt{{Status: "ok", Result: json.RawMessage("{\n  \"a\": 1\n}")}}}}}
	run := desk.Golden{Deliveries: []desk.Delivery{{Attempts: []desk.Attempt{{Status: "failed", Class: "trap", Message: "boom"}}}}}
	want := []string{"status: ok, failed", "class: none, trap", "message: none, boom", `result: {"a":1}, none`}
	var got []string
	for _, d := range golden.Compare(run, -1) {
		got = append(got, d.What+": "+d.Want+", "+d.Got)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzParseEvents(f *testing.F) {
	f.Add([]byte(`{"event_type":"t","data":{"a":1},"metadata":{"event_id":"0197a3c5-0000-7000-8000-000000000009","hops":1}}`))
	f.Add([]byte("\ufeff{\"event_type\":\"t\"}\r\n\n{\"event_type\":\"u\",\"metadata\":{\"subject\":\"\\ud800\"}}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		events, err := desk.ParseEvents(text)
		if (err == nil) == (len(events) == 0) {
			t.Fatalf("%d events with the error %v", len(events), err)
		}
		again, _ := desk.ParseEvents(text)
		for i, ev := range events {
			if ev.Envelope() != again[i].Envelope() {
				t.Fatalf("%s, and then %s", ev.Envelope(), again[i].Envelope())
			}
			if _, err := event.Parse(ev.Envelope()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzParseInputs(f *testing.F) {
	f.Add([]byte(`[{"request":{"method":"GET","url":"u","headers":{"a":"b"},"body":""},"response":{"status":200,"body_base64":"AA=="}}]`))
	f.Add([]byte(`{"a":"b"}`))
	f.Add([]byte(`{"plugin":"p","deliveries":[{"event_id":"e","event_type":"t","attempts":[{"attempt":1,"status":"ok","fuel":1}]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, _ = desk.ParseExchanges(text)
		_, _ = desk.ParseTexts(text)
		_, _ = desk.ParseConfig(text)
		golden, err := desk.ParseGolden(text)
		if err != nil {
			return
		}
		if differences := golden.Compare(golden, 0); len(differences) > 0 {
			t.Fatalf("a golden file differs from itself: %+v", differences)
		}
	})
}

// A golden file that was joined with another text, such as by a failed merge, is refused.
func TestGoldenIsOneReport(t *testing.T) {
	const report = `{"plugin":"p","deliveries":[]}`
	if _, err := desk.ParseGolden([]byte(report + "\n")); err != nil {
		t.Error(err)
	}
	for _, after := range []string{report, "}", "x", "<<<<"} {
		if _, err := desk.ParseGolden([]byte(report + "\n" + after)); err == nil {
			t.Errorf("%q behind the report: no error", after)
		}
	}
}

// The line of a failure is not compared: it changes with every edit above it.
func TestGoldenHasNoLines(t *testing.T) {
	for _, tt := range []struct{ message, want string }{
		{"panic: no stock (main.go:51)\nstack", "panic: no stock"},
		{"panic: no stock (src/a b.ts:51:7)", "panic: no stock"},
		{"panic: (main.go:51) no stock", "panic: (main.go:51) no stock"},
		{"it failed (twice)", "it failed (twice)"},
		{"it failed (at 7:x)", "it failed (at 7:x)"},
		{"(:1)", "(:1)"},
		{"", ""},
	} {
		g := desk.NewGolden("p", []desk.Delivery{{Attempts: []desk.Attempt{{Message: tt.message}}}})
		if got := g.Deliveries[0].Attempts[0].Message; got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.message, got, tt.want)
		}
	}
}
