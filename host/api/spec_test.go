package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// statement is a requirement of CloudEvents 1.0.2 for a receiver over HTTP, with a request
// and its result. H is the HTTP protocol binding, J the JSON event format, S the
// specification itself.
type statement struct {
	section, says string
	headers       []string
	body          string
	status        int
	want          string // a part of the envelope when it is 202, of the answer otherwise
}

const kind = "Content-Type: "

var (
	required = []string{"ce-specversion: 1.0", "ce-type: t", "ce-source: /s", "ce-id: 1"}
	event1   = []string{kind + "application/cloudevents+json"}
)

// binary returns the headers of an event in binary mode.
func binary(more ...string) []string {
	return slices.Concat([]string{kind + "application/json"}, required, more)
}

// json1 returns an event in the JSON format, with further members.
func json1(members string) string {
	return `{"specversion":"1.0","type":"t","source":"/s","id":"1"` + members + `}`
}

// conform publishes an event for each statement.
func conform(t *testing.T, list []statement) {
	t.Helper()
	for _, tt := range list {
		t.Run(tt.section+" "+tt.says, func(t *testing.T) {
			p := &parts{}
			w := call(newServer(t, config(p)).Handler(), "POST", "/api/v1/events", tt.body, append([]string{kind + "-"}, tt.headers...)...)
			if w.Code != tt.status {
				t.Fatalf("got %d %s, want %d", w.Code, w.Body, tt.status)
			}
			if tt.status != http.StatusAccepted {
				if problem := problemIn(t, w); !strings.Contains(problem.Field+": "+problem.Detail, tt.want) || len(p.log) != 0 {
					t.Errorf("got %+v and %d events, want %q and none", problem, len(p.log), tt.want)
				}
				return
			}
			if tt.want == "" {
				if len(p.log) != 0 || strings.TrimSpace(w.Body.String()) != `{"items":[],"next":null}` {
					t.Errorf("got %s and %d events", w.Body, len(p.log))
				}
				return
			}
			if len(p.log) != 1 || !strings.Contains(p.log[0].Event.Envelope(), tt.want) {
				t.Errorf("got %+v, want %s", p.log, tt.want)
			}
		})
	}
}

func TestCloudEventsOverHTTP(t *testing.T) {
	conform(t, []statement{
		{"H 3", "the media type's prefix determines the mode, in any case", []string{kind + "Application/CloudEvents+JSON; Charset=UTF-8"}, json1(""), 202, `"/s 1"`},
		{"H 3", "the prefix of a batch determines the batched mode", []string{kind + "APPLICATION/cloudevents-batch+json"}, "[" + json1("") + "]", 202, `"/s 1"`},
		{"H 3", "otherwise it is the binary mode", binary(), `{"n":1}`, 202, `"data":{"n":1}`},
		{"H 3", "a format that is not handled is no native event", []string{kind + "application/cloudevents+avro"}, "x", 415, "application/cloudevents+avro"},
		{"H 3", "the prefix counts also where the rest is malformed", []string{kind + "application/cloudevents+json; charset"}, json1(""), 415, "CloudEvents are taken"},
		{"H 3", "not all mandatory headers: no valid CloudEvent", []string{kind + "application/json", "ce-id: 1"}, `{"event_type":"t"}`, 400, "ce-specversion"},
		{"H 3.1.1", "Content-Type is datacontenttype", append([]string{kind + "text/plain"}, required...), "a", 202, `"data":"a"`},
		{"H 3.1.1", "ce-datacontenttype must not be there", binary("ce-datacontenttype: application/json"), `1`, 400, "Content-Type"},
		{"H 3.1.2", "the body is the data as it is", binary(), ` [1, 2]`, 202, `"data":[1,2]`},
		{"H 3.1.2", "no body is no data", binary(), ``, 202, `"data":null`},
		{"H 3.1.3", "every attribute has a header of its own", binary("ce-subject: x", "ce-time: 2026-05-01T10:00:00Z"), ``, 202, `"subject":"x","time":"2026-05-01T10:00:00Z"`},
		{"H 3.1.3", "extensions are mapped, too", binary("ce-correlationid: c"), ``, 202, `"correlation_id":"c"`},
		{"H 3.1.3.1", "names of headers are in any case", []string{"CE-SPECVERSION: 1.0", "Ce-Type: t", "cE-source: /s", "ce-ID: 1"}, ``, 202, `"/s 1"`},
		{"H 3.1.3.2", "a value in double quotes is unescaped first", binary(`ce-subject: "a b"`), ``, 202, `"subject":"a b"`},
		{"H 3.1.3.2", "so is every other attribute's", []string{`ce-specversion: "1.0"`, `ce-type: "t"`, `ce-source: "/s"`, `ce-id: "1"`}, ``, 202, `"/s 1"`},
		{"H 3.1.3.2", "with backslash escapes inside", binary(`ce-subject: "a\"b\\c\d"`), ``, 202, `"subject":"a\"b\\cd"`},
		{"H 3.1.3.2", "a backslash outside of quotes is one", binary(`ce-subject: a\b`), ``, 202, `"subject":"a\\b"`},
		{"H 3.1.3.2", "quotes may be a part of the value", binary(`ce-subject: a"b c"d`), ``, 202, `"subject":"ab cd"`},
		{"H 3.1.3.2", "space in quotes counts", binary(`ce-subject: " a "`), ``, 202, `"subject":" a "`},
		{"H 3.1.3.2", "a quote that is not closed is an error", binary(`ce-subject: 5" pipe`), ``, 400, "%22"},
		{"H 3.1.3.2", "also behind an escape", binary(`ce-subject: "a\"`), ``, 400, "ce-subject"},
		{"H 3.1.3.2", "parentheses are no comment", binary(`ce-subject: a (b)`), ``, 202, `"subject":"a (b)"`},
		{"H 3.1.3.2", "then one round of percent-decoding", binary(`ce-subject: a%20b%2541`), ``, 202, `"subject":"a b%41"`},
		{"H 3.1.3.2", "inside of quotes, too", binary(`ce-subject: "a%20\%20b"`), ``, 202, `"subject":"a  b"`},
		{"H 3.1.3.2", "a decoded quote is a quote", binary(`ce-subject: %22a%22`), ``, 202, `"subject":"\"a\""`},
		{"H 3.1.3.2", "a plus sign is one", binary(`ce-subject: a+b`), ``, 202, `"subject":"a+b"`},
		{"H 3.1.3.2", "small letters are hexadecimal digits", binary(`ce-subject: Euro%20%e2%82%ac%20%F0%9f%98%80`), ``, 202, `"subject":"Euro € 😀"`},
		{"H 3.1.3.2", "what is encoded without need is taken", binary(`ce-subject: %61%2D%7e`), ``, 202, `"subject":"a-~"`},
		{"H 3.1.3.2", "UTF-8 that is invalid is rejected", binary(`ce-subject: %C0%A0`), ``, 400, "UTF-8"},
		{"H 3.1.3.2", "half of a surrogate pair is invalid UTF-8", binary(`ce-subject: %ED%A0%80`), ``, 400, "UTF-8"},
		{"H 3.1.3.2", "so are raw bytes that are none", binary("ce-subject: \xe9"), ``, 400, "UTF-8"},
		{"H 3.1.3.2", "a percent sign without two digits is an error", binary(`ce-subject: 100%`), ``, 400, "%25"},
		{"H 3.2.1", "charset is UTF-8, or is not said", []string{kind + "application/cloudevents+json; charset=utf-16"}, json1(""), 415, "UTF-8"},
		{"H 3.2.3", "of headers and payload the payload counts", append([]string{"ce-id: 2", "ce-type: other"}, event1...), json1(""), 202, `"/s 1"`},
	})
}

func TestCloudEventsInJSON(t *testing.T) {
	conform(t, []statement{
		{"J 2.2", "null is unset", event1, json1(`,"subject":null,"time":null,"datacontenttype":null,"comexample":null`), 202, `"subject":""`},
		{"J 2.2", "null does not fill in what is required", event1, `{"specversion":"1.0","type":"t","source":"/s","id":null}`, 400, "id"},
		{"J 2.2", "a String is a JSON string", event1, json1(`,"subject":7`), 400, "subject"},
		{"J 3", "an event is an object", event1, `"x"`, 400, "an object"},
		{"J 3.1.1", "data and data_base64 exclude each other", event1, json1(`,"data":null,"data_base64":"YQ=="`), 400, "data_base64"},
		{"J 3.1.1", "data may be null", event1, json1(`,"data":null`), 202, `"data":null`},
		{"J 3.1.1", "*/json is JSON", event1, json1(`,"datacontenttype":"example/json","data":"{}"`), 202, `"data":"{}"`},
		{"J 3.1.1", "so is */*+json, with parameters", event1, json1(`,"datacontenttype":"image/svg+JSON; a=b","data":{"a":1}`), 202, `"data":{"a":1}`},
		{"J 3.1.1", "+json inside of a subtype is none", event1, json1(`,"datacontenttype":"a/b+json-x","data":{"a":1}`), 400, "data"},
		{"J 3.1.2", "data_base64 is decoded", event1, json1(`,"datacontenttype":"text/plain","data_base64":"YQ=="`), 202, `"data":"a"`},
		{"J 3.1.2", "without a type no JSON is assumed", event1, json1(`,"data_base64":"eyAieHl6IjogMTIzIH0="`), 202, `"data":{"data_base64":"eyAieHl6IjogMTIzIH0="}`},
		{"J 3.1.2", "nor in the binary mode", required, `{ "xyz": 123 }`, 202, `"data":{"data_base64":"eyAieHl6IjogMTIzIH0="}`},
		{"J 3.1.2", "null is no data_base64", event1, json1(`,"data":1,"data_base64":null`), 202, `"data":1`},
		{"J 3.1.2", "base64 has padding and no line breaks", event1, json1(`,"datacontenttype":"a/b","data_base64":"YQ"`), 400, "base64"},
		{"J 3.1.2", "and the standard alphabet", event1, json1(`,"datacontenttype":"a/b","data_base64":"_w=="`), 400, "base64"},
		{"J 3.1.2", "base64 of nothing is nothing", event1, json1(`,"datacontenttype":"a/b","data_base64":""`), 202, `"data":{"datacontenttype":"a/b","data_base64":""}`},
		{"J 3.1.2", "a string of JSON data is not read again", event1, json1(`,"data":"{\"a\":1}"`), 202, `"data":"{\"a\":1}"`},
		{"J 3.1.2", "other data is a string", event1, json1(`,"datacontenttype":"application/xml","data":"<a/>"`), 202, `"data":"<a/>"`},
		{"J 3.1.2", "and may be refused otherwise", event1, json1(`,"datacontenttype":"application/xml","data":{}`), 400, "data"},
		{"J 4", "an empty batch is valid in a request", []string{kind + "application/cloudevents-batch+json"}, " [ \n] ", 202, ""},
		{"J 4", "a batch is a list", []string{kind + "application/cloudevents-batch+json"}, json1(""), 400, "a list"},
	})
}

func TestCloudEventsAttributes(t *testing.T) {
	conform(t, []statement{
		{"S id", "must not be empty", event1, `{"specversion":"1.0","type":"t","source":"/s","id":""}`, 400, "id"},
		{"S id", "nor in a header", []string{"ce-specversion: 1.0", "ce-type: t", "ce-source: /s", "ce-id: "}, ``, 400, "ce-id"},
		{"S id", "nor in quotes", []string{"ce-specversion: 1.0", "ce-type: t", "ce-source: /s", `ce-id: ""`}, ``, 400, "ce-id"},
		{"S source", "must not be empty", event1, `{"specversion":"1.0","type":"t","source":"","id":"1"}`, 400, "source"},
		{"S source", "is a URI-reference", event1, `{"specversion":"1.0","type":"t","source":"a b","id":"1"}`, 400, "source"},
		{"S specversion", "must be 1.0", event1, `{"specversion":"1.1","type":"t","source":"/s","id":"1"}`, 400, "specversion"},
		{"S specversion", "must not be empty", event1, `{"specversion":"","type":"t","source":"/s","id":"1"}`, 400, "specversion"},
		{"S type", "must not be empty", event1, `{"specversion":"1.0","type":"","source":"/s","id":"1"}`, 400, "type"},
		{"S subject", "must not be empty when it is there", event1, json1(`,"subject":""`), 400, "subject"},
		{"S subject", "nor in quotes", binary(`ce-subject: ""`), ``, 400, "ce-subject"},
		{"S datacontenttype", "is a media type", event1, json1(`,"datacontenttype":"json","data":1`), 400, "data"},
		{"S datacontenttype", "must not be empty", event1, json1(`,"datacontenttype":""`), 400, "datacontenttype"},
		{"S time", "is RFC 3339", event1, json1(`,"time":"2026-05-01"`), 400, "time"},
		{"S time", "in small letters, too", event1, json1(`,"time":"2026-05-01t10:00:00z"`), 202, `"time":"2026-05-01T10:00:00Z"`},
		{"S time", "year 1 does not mean now", event1, json1(`,"time":"0001-01-01T00:00:00Z"`), 400, "time"},
		{"S types", "no control characters, of C1 neither", event1, json1(`,"subject":"a\u0085"`), 400, "subject"},
		{"S types", "no noncharacters", event1, json1(`,"subject":"a\ufffe"`), 400, "subject"},
		{"S types", "also of the higher planes", binary("ce-subject: %F0%9F%BF%BF"), ``, 400, "ce-subject"},
		{"S types", "no half of a surrogate pair", event1, json1(`,"subject":"a\ud800"`), 400, "subject"},
		{"S names", "are small letters and digits", event1, json1(`,"my_ext":"x"`), 400, "my_ext"},
		{"S names", "in any case they are no attribute", event1, json1(`,"Subject":"x"`), 400, "Subject"},
	})
}
