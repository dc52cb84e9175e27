package desk_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/desk"
)

// TestSDKsWithJSON tests what the SDKs of C, C++ and Zig do with JSON themselves: they take a
// value as it is written from its parent, read the response to an HTTP request, and write
// strings.
func TestSDKsWithJSON(t *testing.T) {
	long := strings.Repeat("größe ", 8_000) // 56,000 bytes, far more than the first buffer
	quoted := func(text string) string {
		j, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(j)
	}
	echo := func(value string) string { return `{"op":"echo","value":` + value + `}` }
	cases := []struct{ name, data, want string }{
		{"string", echo(`"a"`), `"a"`},
		{"escapes", echo(`"\"\\\/\b\f\n\r\t\u0000\u00e9\ud834\udd1e\ud834"`), `"\"\\\/\b\f\n\r\t\u0000\u00e9\ud834\udd1e\ud834"`},
		{"brackets in strings", `{"a":"}]","b":["{","\"]"],"op":"echo","value":"{","c":{"d":"["}}`, `"{"`},
		{"a string like another value", echo(`"null"`), `"null"`},
		{"number as written", echo("-1.50e+03"), "-1.50e+03"},
		{"blanks", "{ \"op\" :\t\"echo\" ,\n \"value\" : [ 1 , { } ,\r[ ] ] }", "[1,{},[]]"},
		{"name with escapes", `{"op":"echo","v\u0061lue":"x"}`, `"x"`},
		{"name that is there twice", `{"op":"echo","value":1,"value":"last"}`, `"last"`},
		{"name inside another value", `{"op":"echo","other":{"value":1},"value":2}`, "2"},
		{"long", echo(quoted(long)), quoted(long)},
		{"field that is long", `{"op":"field","pointer":"/data/x","x":` + quoted(long) + `}`, `{"value":` + quoted(long) + `}`},
		{"field of an item", `{"op":"field","pointer":"/data/x/1/~1~0","x":[0,{"/~":"a\"\\\u0001\u007f\u2028"}]}`, `{"value":"a\"\\\u0001\u007f\u2028"}`},
		{"smallest number", `{"op":"number","int":-9223372036854775808,"bool":false}`, `{"int":-9223372036854775808,"bool":false}`},
		{"largest number", `{"op":"number","int":9223372036854775807,"bool":true}`, `{"int":9223372036854775807,"bool":true}`},
		{"too large a number", `{"op":"number","int":9223372036854775808,"bool":true}`, "no number"},
		{"a long number", `{"op":"number","int":100000000000000000000000000000000000000000000,"bool":true}`, "no number"},
		{"bytes in a response", fetch("/bytes"), `{"status":200,"body":"a\ufffd\u0000b","content_type":""}`},
		{"escapes in a response", fetch("/text"), `{"status":404,"body":"\"\\\n é 𝄞 </p>","content_type":"text/plain; charset=\"utf-8\""}`},
		{"empty response", fetch("/empty"), `{"status":204,"body":"","content_type":""}`},
		{"no answer", fetch("/none"), `{"error":"TIMEOUT"}`},
	}
	url := "https://conform.example.com"
	setup := desk.Setup{Start: desk.FirstTime(), HTTP: []desk.Exchange{
		{Request: desk.Request{Method: "POST", URL: url + "/bytes"}, Response: &desk.Response{Status: 200, Body: "a\xff\x00b"}},
		{Request: desk.Request{Method: "POST", URL: url + "/text"}, Response: &desk.Response{Status: 404, Body: "\"\\\n é 𝄞 </p>",
			Headers: map[string]string{"x-other": "{", "content-type": `text/plain; charset="utf-8"`}}},
		{Request: desk.Request{Method: "POST", URL: url + "/empty"}, Response: &desk.Response{Status: 204}},
		{Request: desk.Request{Method: "POST", URL: url + "/none"}, Error: "TIMEOUT"},
	}}
	for _, language := range []string{"c", "cpp", "zig"} {
		t.Run(language, func(t *testing.T) {
			p := load(t, read(t, "../../testdata/languages/"+language+"/conformance.wasm"), "")
			s := start(t, p, setup) // one instance for all, so that its memory is used again
			for round := range 3 {
				for _, tt := range cases {
					d := run(t, s, 1, fmt.Sprintf(`{"event_type":"conform_event","data":%s}`, strings.ReplaceAll(tt.data, "\n", " ")))[0].Last()
					got := string(d.Result)
					if d.Status != desk.StatusOK {
						got = d.Message
					}
					if !sameJSON(got, tt.want) {
						t.Errorf("%s, round %d: got %s %.200s, want %.200s", tt.name, round, d.Status, got, tt.want)
					}
				}
			}
		})
	}
}

// fetch is the data of an event on which the conformance handler sends a request.
func fetch(path string) string {
	return `{"op":"http","method":"POST","url":"https://conform.example.com` + path + `","body":"\"\\\u0000é"}`
}

// sameJSON reports whether two texts are the same, or the same as JSON.
func sameJSON(a, b string) bool {
	if a == b {
		return true
	}
	decode := func(text string) (v any, err error) {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		return v, d.Decode(&v)
	}
	x, errX := decode(a)
	y, errY := decode(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}
