package api_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// keyValues is the state of plugins in memory, by plugin and key.
type keyValues struct {
	mu      sync.Mutex
	values  map[string]map[string][]byte
	limits  map[string]time.Time // by key
	written func()               // called by KVChange before it compares
}

func newKeyValues() *keyValues {
	return &keyValues{values: map[string]map[string][]byte{"order-audit": {"last": []byte("7")}, "gone": {"left": []byte("behind")}},
		limits: map[string]time.Time{}}
}

func (k *keyValues) KVGet(_ context.Context, plugin, key string) ([]byte, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	value, found := k.values[plugin][key]
	return slices.Clone(value), found, nil
}

func (k *keyValues) KVChange(_ context.Context, plugin string, c spec.KVChange) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if c.Compare && k.written != nil {
		k.written()
	}
	present, found := k.values[plugin][c.Key]
	if c.Compare && (found != (c.Old != nil) || !bytes.Equal(present, c.Old)) {
		return fault.New(fault.Conflict, "another value")
	}
	if c.Value == nil {
		delete(k.values[plugin], c.Key)
		return nil
	}
	if k.values[plugin] == nil {
		k.values[plugin] = map[string][]byte{}
	}
	k.values[plugin][c.Key] = c.Value
	if !c.Until.IsZero() {
		k.limits[c.Key] = c.Until
	} else if !c.Compare {
		delete(k.limits, c.Key)
	}
	return nil
}

func (k *keyValues) KVList(_ context.Context, plugin, prefix, after string, limit int) (list []spec.KVItem, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key, value := range k.values[plugin] {
		if strings.HasPrefix(key, prefix) && key > after {
			list = append(list, spec.KVItem{Key: key, Size: len(value), Until: k.limits[key]})
		}
	}
	slices.SortFunc(list, func(a, b spec.KVItem) int { return strings.Compare(a.Key, b.Key) })
	return list[:min(limit, len(list))], nil
}

func (k *keyValues) KVUsage(_ context.Context, plugin string) (used, quota int64, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key, value := range k.values[plugin] {
		used += int64(len(key) + len(value) + spec.KVEntry)
	}
	return used, 64 << 20, nil
}

const statePath = "/api/v1/events/plugins/order-audit/kv"

// stateServer serves an API whose plugin order-audit has one value.
type stateServer struct {
	http.Handler
	t     *testing.T
	state *keyValues
	log   *auditLog
}

func serveState(t *testing.T) *stateServer {
	b := setup(t)
	s := &stateServer{t: t, state: newKeyValues(), log: &auditLog{}}
	b.cfg.Plugins.State, b.cfg.Admin.Audit = s.state, s.log
	s.Handler = newServer(t, b.cfg).Handler()
	return s
}

// ok makes a request that succeeds.
func (s *stateServer) ok(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	w := call(s.Handler, method, path, body, headers...)
	if w.Code > 299 {
		s.t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return w
}

// refused makes a request that is answered with a status and an error about a field.
func (s *stateServer) refused(status int, field, method, path, body string, headers ...string) {
	s.t.Helper()
	w := call(s.Handler, method, path, body, headers...)
	if w.Code != status {
		s.t.Errorf("%s %s %s: got %d, want %d: %s", method, path, body, w.Code, status, w.Body)
		return
	}
	if p := problemIn(s.t, w); p.Field != field {
		s.t.Errorf("%s %s %s: the field is %q, want %q: %s", method, path, body, p.Field, field, p.Detail)
	}
}

// Every key and value survives the way through the API, whatever its bytes are.
func TestStateKeysAndValuesAreBytes(t *testing.T) {
	s := serveState(t)
	for _, key := range []string{"a", "a/b", "..", ".", "%2e", "ü", "\xff\x00", "a b+c?d#e", `<img src=x onerror=alert(1)>`, strings.Repeat("k", 256)} {
		at := statePath + "/" + base64.RawURLEncoding.EncodeToString([]byte(key)) + "?key_encoding=base64"
		paths := []string{at}
		if key != "." && key != ".." {
			paths = append(paths, statePath+"/"+url.PathEscape(key))
		}
		for _, path := range paths {
			value := "value of " + key
			s.ok("PUT", path, `{"value_base64":"`+base64.StdEncoding.EncodeToString([]byte(value))+`"}`)
			if got := s.state.values["order-audit"][key]; string(got) != value {
				t.Errorf("%s: stored is %q, want %q", path, got, value)
			}
			w := s.ok("GET", path, "")
			shown := decode[wire.KVValue](t, w)
			if got := exact(t, shown.Text, shown.Base64); got != value {
				t.Errorf("%s: got %q, want %q", path, got, value)
			}
			if got := exact(t, shown.Key, shown.KeyBase64); got != key || shown.Size != len(value) || w.Header().Get("ETag") != `"`+shown.ETag+`"` {
				t.Errorf("%s: got %+v", path, shown)
			}
			if w := s.ok("DELETE", path, ""); w.Code != http.StatusNoContent {
				t.Errorf("%s: the deletion is answered with %d", path, w.Code)
			}
			s.refused(http.StatusNotFound, "", "GET", path, "")
			s.refused(http.StatusNotFound, "", "DELETE", path, "")
		}
	}
}

// exact returns the bytes of a text or of base64, exactly one of which is given.
func exact(t *testing.T, text, encoded *string) string {
	t.Helper()
	switch {
	case text != nil && encoded == nil:
		return *text
	case encoded != nil && text == nil:
		b, err := base64.StdEncoding.DecodeString(*encoded)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	t.Fatalf("got %v and %v", text, encoded)
	return ""
}

func TestStateValuesAreJSONTextOrBytes(t *testing.T) {
	s := serveState(t)
	for body, want := range map[string]string{
		`{"value":{"n": 12345678901234567890}}`: `{"n": 12345678901234567890}`,
		`{"value":null}`:                        "null",
		`{"value":"text"}`:                      `"text"`,
		`{"value_text":"text"}`:                 "text",
		`{"value_text":""}`:                     "",
		`{"value_base64":"/w=="}`:               "\xff",
	} {
		s.ok("PUT", statePath+"/k", body)
		if got := string(s.state.values["order-audit"]["k"]); got != want {
			t.Errorf("%s: stored is %q, want %q", body, got, want)
		}
	}
	s.ok("PUT", statePath+"/k", `{"value_text":"before"}`)
	for body, field := range map[string]string{
		`{}`: "value", `{"value":1,"value_text":"1"}`: "value", `{"value_base64":"*"}`: "value_base64", `{"value":1,"old":2}`: "old",
		`{"value":1,"expires_in":"soon"}`: "expires_in", `{"value":1,"expires_in":"-1s"}`: "expires_in", `{"value":1,"expires_in":"10ms"}`: "expires_in",
		`{"value":1,"expires_in":"1000000h"}`: "expires_in",
	} {
		s.refused(http.StatusBadRequest, field, "PUT", statePath+"/k", body)
	}
	s.refused(http.StatusRequestEntityTooLarge, "value", "PUT", statePath+"/k", `{"value_text":"`+strings.Repeat("x", 1<<20+1)+`"}`)
	s.refused(http.StatusBadRequest, "key", "PUT", statePath+"/"+strings.Repeat("k", 257), `{"value":1}`)
	s.refused(http.StatusBadRequest, "key", "GET", statePath+"/*?key_encoding=base64", "")
	s.refused(http.StatusBadRequest, "key_encoding", "GET", statePath+"/a?key_encoding=hex", "")
	s.refused(http.StatusBadRequest, "cursor", "GET", statePath+"?cursor=*", "")
	s.refused(http.StatusBadRequest, "prefix", "GET", statePath+"?prefix="+strings.Repeat("k", 257), "")
	if got := string(s.state.values["order-audit"]["k"]); got != "before" {
		t.Errorf("a refused write left %q", got)
	}
}

// A value is replaced under its ETag only, also when a guest writes between the comparison
// and the write.
func TestStateIsComparedAndSet(t *testing.T) {
	s := serveState(t)
	tag := s.ok("GET", statePath+"/last", "").Header().Get("ETag")
	w := s.ok("PUT", statePath+"/last", `{"value":8}`, "If-Match: "+tag)
	if stored := decode[wire.KVStored](t, w); w.Header().Get("ETag") != `"`+stored.ETag+`"` || stored.ETag == strings.Trim(tag, `"`) {
		t.Errorf("the ETag is %s", stored.ETag)
	}
	s.refused(http.StatusPreconditionFailed, "If-Match", "PUT", statePath+"/last", `{"value":9}`, "If-Match: "+tag)
	s.refused(http.StatusPreconditionFailed, "If-Match", "PUT", statePath+"/none", `{"value":9}`, "If-Match: *")
	s.refused(http.StatusPreconditionFailed, "If-None-Match", "PUT", statePath+"/last", `{"value":9}`, "If-None-Match: *")
	s.refused(http.StatusBadRequest, "If-None-Match", "PUT", statePath+"/last", `{"value":9}`, "If-None-Match: "+tag)
	s.ok("PUT", statePath+"/new", `{"value":1}`, "If-None-Match: *")

	tag = s.ok("GET", statePath+"/last", "").Header().Get("ETag")
	s.state.written = func() {
		s.state.written = nil
		s.state.values["order-audit"]["last"] = []byte("of the guest")
	}
	s.refused(http.StatusPreconditionFailed, "If-Match", "PUT", statePath+"/last", `{"value":9}`, "If-Match: "+tag)
	if got := string(s.state.values["order-audit"]["last"]); got != "of the guest" {
		t.Errorf("the value is %s", got)
	}
	s.state.written = func() {
		s.state.written = nil
		s.state.values["order-audit"]["last"] = []byte("again")
	}
	s.ok("PUT", statePath+"/last", `{"value":9}`, "If-Match: *")

	tag = s.ok("GET", statePath+"/last", "").Header().Get("ETag")
	s.refused(http.StatusPreconditionFailed, "If-Match", "DELETE", statePath+"/last", "", `If-Match: "x"`)
	s.refused(http.StatusPreconditionFailed, "If-Match", "DELETE", statePath+"/none", "", "If-Match: *")
	s.refused(http.StatusBadRequest, "If-None-Match", "DELETE", statePath+"/last", "", "If-None-Match: *")
	s.state.written = func() {
		s.state.written = nil
		s.state.values["order-audit"]["last"] = []byte("of the guest")
	}
	s.refused(http.StatusPreconditionFailed, "If-Match", "DELETE", statePath+"/last", "", "If-Match: "+tag)
	tag = s.ok("GET", statePath+"/last", "").Header().Get("ETag")
	s.ok("DELETE", statePath+"/last", "", "If-Match: "+tag)
	if _, found := s.state.values["order-audit"]["last"]; found {
		t.Error("it is not deleted")
	}
}

// Without a condition a write removes the limit; a comparison keeps it.
func TestStateLimits(t *testing.T) {
	s := serveState(t)
	before := time.Now()
	stored := decode[wire.KVStored](t, s.ok("PUT", statePath+"/k", `{"value":1,"expires_in":"1h"}`))
	until := s.state.limits["k"]
	if stored.ExpiresAt == nil || !stored.ExpiresAt.Equal(until) || until.Before(before.Add(time.Hour)) || until.After(time.Now().Add(time.Hour)) {
		t.Errorf("got %v, stored is %v", stored.ExpiresAt, until)
	}
	if shown := decode[wire.KVValue](t, s.ok("GET", statePath+"/k", "")); shown.ExpiresAt == nil || !shown.ExpiresAt.Equal(until) {
		t.Errorf("shown is %v", shown.ExpiresAt)
	}
	if stored = decode[wire.KVStored](t, s.ok("PUT", statePath+"/k", `{"value":2}`, "If-Match: *")); stored.ExpiresAt == nil || !stored.ExpiresAt.Equal(until) {
		t.Errorf("a comparison changed the limit to %v", stored.ExpiresAt)
	}
	stored = decode[wire.KVStored](t, s.ok("PUT", statePath+"/k", `{"value":2,"expires_in":"2h"}`, "If-Match: *"))
	if until = s.state.limits["k"]; stored.ExpiresAt == nil || !stored.ExpiresAt.Equal(until) || until.Before(before.Add(2*time.Hour)) {
		t.Errorf("a comparison with a limit: got %v, stored is %v", stored.ExpiresAt, until)
	}
	if stored = decode[wire.KVStored](t, s.ok("PUT", statePath+"/k", `{"value":3}`)); stored.ExpiresAt != nil || len(s.state.limits) != 0 {
		t.Errorf("the limit is %v", stored.ExpiresAt)
	}
}

func TestStatePages(t *testing.T) {
	s := serveState(t)
	want := []string{"a/1", "a/2", "a/3", "a/\xff"}
	for _, key := range append([]string{"b"}, want...) {
		s.state.values["order-audit"][key] = []byte("v")
	}
	var got []string
	path := statePath + "?limit=3&prefix=a/"
	for at := path; ; {
		page := decode[wire.KVList](t, s.ok("GET", at, ""))
		for _, item := range page.Items {
			got = append(got, exact(t, item.Key, item.KeyBase64))
		}
		if page.Used != int64(6*(spec.KVEntry+1)+4*3+1+4) || page.Quota != 64<<20 {
			t.Errorf("used %d of %d", page.Used, page.Quota)
		}
		if page.Next == nil {
			break
		}
		at = path + "&cursor=" + *page.Next
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if page := decode[wire.KVList](t, s.ok("GET", statePath+"?prefix=a/%FF&limit=1", "")); len(page.Items) != 1 || page.Next != nil {
		t.Errorf("got %+v", page)
	}
}

// The state of a plugin that is gone can be read and deleted, but not written.
func TestStateOfUninstalledPlugin(t *testing.T) {
	s := serveState(t)
	gone := strings.Replace(statePath, "order-audit", "gone", 1)
	s.refused(http.StatusNotFound, "", "PUT", gone+"/left", `{"value":1}`)
	s.ok("GET", gone+"/left", "")
	if page := decode[wire.KVList](t, s.ok("GET", gone, "")); len(page.Items) != 1 {
		t.Errorf("got %+v", page)
	}
	s.ok("DELETE", gone+"/left", "")
	s.refused(http.StatusNotFound, "", "GET", gone, "")
	s.refused(http.StatusNotFound, "", "GET", gone+"/left", "")
	if page := decode[wire.KVList](t, s.ok("GET", statePath+"?prefix=none", "")); page.Items == nil || len(page.Items) != 0 {
		t.Errorf("got %+v", page)
	}
}

// The audit log has who changed which key, and no value.
func TestStateChangesAreAudited(t *testing.T) {
	s := serveState(t)
	s.ok("PUT", statePath+"/pass%0Aword", `{"value":"a secret value","expires_in":"1h"}`)
	s.refused(http.StatusPreconditionFailed, "If-Match", "PUT", statePath+"/last", `{"value":"a secret value"}`, `If-Match: "x"`)
	s.ok("DELETE", statePath+"/last", "")
	recorded := ""
	for _, r := range s.log.records {
		if r.Action != "kv" || r.Target != "order-audit" || r.Who != "admin" || r.Before != nil {
			t.Errorf("got %+v", r)
		}
		recorded += string(r.Asked) + " " + string(r.After) + " " + r.Result + " " + r.Request + "\n"
	}
	for _, want := range []string{`{"expires_in":"1h"} {"key":"\"pass\\nword\"","size":16,"expires_at":"`, `{"key":"last","size":1,"deleted":true} ok DELETE ` + statePath + "/last"} {
		if !strings.Contains(recorded, want) {
			t.Errorf("no %s in\n%s", want, recorded)
		}
	}
	if strings.Contains(recorded, "secret") || len(s.log.records) != 6 {
		t.Errorf("%d records:\n%s", len(s.log.records), recorded)
	}
	for _, method := range []string{"PUT", "DELETE"} {
		s.refused(http.StatusForbidden, "", method, statePath+"/last", "", "Authorization: Bearer narrow")
	}
	s.ok("GET", statePath, "", "Authorization: Bearer narrow")
}
