package wasmtest

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	berth "github.com/berth-host/berth/abi/go"
	"github.com/berth-host/berth/abi/go/berthtest"
)

// TestGuests runs the C guests that use capabilities on the SDK's host for tests:
// the guests, the header they are written with and that host agree.
func TestGuests(t *testing.T) {
	type delivered struct{ data, want string } // want is "<status> <result or reason>"
	host := func() *berthtest.Host {
		return &berthtest.Host{
			Secrets: map[string]string{"token": `s"3`},
			HTTP:    func(request string) (string, berth.Code) { return `{"status":204,"headers":{}}`, 0 },
		}
	}
	tests := []struct {
		guest  string
		host   *berthtest.Host
		events []delivered
	}{
		{"field_echo", host(), []delivered{
			{`{"pointer":"/data/a~1b","a/b":"x"}`, `ok {"text":"x"}`},
			{`{"pointer":"/nope"}`, `ok {"code":-4,"error":""}`},
			{`{"pointer":"nope"}`, `ok {"code":-2,"error":""}`}}},
		{"emit_children", host(), []delivered{
			{`{}`, `ok {"emitted":1}`},
			{`{"children":64}`, `ok {"emitted":64}`},
			{`{"child":{"event_type":"a","data":1,"metadata":{"subject":"s"}}}`, `ok {"emitted":1}`},
			{`{"child":{"event_type":"a"}}`, `ok {"code":-2,"error":"data is missing"}`},
			{`{"child":{"event_type":"*","data":1}}`, `ok {"code":-2,"error":"event_type is missing or malformed"}`},
			{`{"retry":1}`, `retry as the event asked`}}},
		{"emit_children", &berthtest.Host{Denied: []string{"emit"}}, []delivered{{`{}`, `ok {"code":-3,"error":"emit is not granted"}`}}},
		{"kv_counter", host(), []delivered{
			{`{}`, `ok {"count":1}`}, {`{}`, `ok {"count":2}`}, {`{"reset":true}`, `ok {"count":0}`}, {`{}`, `ok {"count":1}`}}},
		{"kv_counter", &berthtest.Host{Denied: []string{"kv"}}, []delivered{{`{}`, `ok {"code":-3,"error":"kv is not granted"}`}}},
		{"kv_set", host(), []delivered{
			{`{}`, `ok {"code":0,"error":""}`},
			{`{"key_bytes":256,"bytes":1048576}`, `ok {"code":0,"error":""}`},
			{`{"key_bytes":257}`, `ok {"code":-5,"error":"the key is over 256 bytes"}`},
			{`{"bytes":1048577}`, `ok {"code":-5,"error":"the value is over 1 MiB"}`},
			{`{"key_bytes":0}`, `ok {"code":-2,"error":"the key is empty"}`}}},
		{"secret_echo", host(), []delivered{
			{`{"name":"token"}`, `ok {"secret":"s\"3"}`},
			{`{"name":"nope"}`, `ok {"code":-4,"error":"no secret is called nope"}`}}},
		{"http_fetch", host(), []delivered{{`{"request":{"method":"GET","url":"https://a.example/"}}`, `ok {"status":204,"headers":{}}`}}},
		{"http_fetch", &berthtest.Host{}, []delivered{{`{"request":{}}`, `ok {"code":-3,"error":"http is not granted"}`}}},
		{"big_result", host(), []delivered{{`{}`, `ok "` + strings.Repeat("x", 65534) + `"`}, {`{"bytes":2}`, `ok ""`}}},
		{"log_lines", host(), []delivered{{`{"lines":3}`, `ok {"lines":3}`}}},
		{"grow_memory", host(), []delivered{{`{"pages":2}`, `ok {"grown":2}`}}},
		{"recurse", host(), []delivered{{`{}`, `ok {"sum":10}`}, {`{"depth":5000}`, `ok {"sum":5000}`}}},
		{"finish_twice", host(), []delivered{{`{}`, `ok {}`}}},
		{"bad_json", host(), []delivered{{`{}`, `retry the result is not JSON`}, {`{"recover":true}`, `ok {"refused":-2}`}}},
		{"no_finish", host(), []delivered{{`{}`, `ok `}}},
		{"return_early", host(), []delivered{{`{}`, `ok {}`}}},
		{"calls_without_event", host(), []delivered{{`{}`,
			`ok {"field":-2,"finish":-2,"emit":-2,"attempt":-2,"remaining":-2,"last":0,"error":0}`}}},
	}
	for _, tt := range tests {
		t.Run(tt.guest, func(t *testing.T) {
			wasm, err := os.ReadFile(filepath.Join("../../../../testdata/guests", tt.guest+".wasm"))
			if err != nil {
				t.Fatal(err)
			}
			var envelopes, got, want []string
			for _, e := range tt.events {
				envelopes = append(envelopes, berthtest.Event("x", e.data))
				want = append(want, e.want)
			}
			outcomes, _, _ := newGuest(t, wasm).run(t, tt.host, envelopes...)
			for _, out := range outcomes {
				got = append(got, fmt.Sprintf("%s %s%s", out.Status, out.Result, out.Reason))
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %.400q\nwant %.400q", got, want)
			}
		})
	}
}

// TestStdio proves the guest of the stdio style, by its import and its answer.
func TestStdio(t *testing.T) {
	wasm, err := os.ReadFile("../../../../testdata/guests/stdio.wasm")
	if err != nil {
		t.Fatal(err)
	}
	for envelope, wantCode := range map[string]uint32{`{}`: 0, `{"data":{"exit":75}}`: 75, `{"data":{"exit":1}}`: 1} {
		stdout, stderr, code := runStdio(t, wasm, envelope)
		if want := fmt.Sprintf(`{"bytes":%d}`, len(envelope)); stdout != want || stderr != "read the event\n" || code != wantCode {
			t.Errorf("%s: got %q, %q, exit %d; want %q, exit %d", envelope, stdout, stderr, code, want, wantCode)
		}
	}
}
