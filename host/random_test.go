package host_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-host/berth/host"
	"github.com/berth-host/berth/host/api/openapi/openapitest"
	"github.com/berth-host/berth/host/auth"
	"github.com/berth-host/berth/host/marketplace/format"
	"github.com/berth-host/berth/host/marketplace/publish"
	"github.com/berth-host/berth/host/wire"
)

const (
	randomRequests = 7_500 // of each engine
	randomWorkers  = 4
	randomHang     = time.Minute // longer than any request takes
)

// TestRandomRequests sends 15,000 random requests, half of them to a host with each
// engine. No answer is a 5xx, every answer conforms to /openapi.json, and the host still
// delivers an event at the end. BERTH_RANDOM_SEED=N repeats the requests of a failure.
func TestRandomRequests(t *testing.T) {
	seed := rand.Uint64()
	if text := os.Getenv("BERTH_RANDOM_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("BERTH_RANDOM_SEED=%d", seed)
	for _, engine := range []string{"memory", "sqlite"} {
		t.Run(engine, func(t *testing.T) {
			h := startRandomHost(t, engine)
			h.gen.seed = seed
			var next atomic.Int64
			var workers sync.WaitGroup
			for range randomWorkers {
				workers.Go(func() {
					for n := int(next.Add(1)); n <= randomRequests && !t.Failed(); n = int(next.Add(1)) {
						r := h.gen.request(n)
						if err := h.try(t.Context(), r); err != nil {
							t.Errorf("request %d, %s: %v", n, r, err)
						}
					}
				})
			}
			workers.Wait()
			h.report(t, engine)
			if t.Failed() {
				t.Logf("the host's log:\n%s", h.log.String())
				return
			}
			h.delivers(t)
		})
	}
}

// randomHost is a Host with the objects that requests refer to.
type randomHost struct {
	*host.Host
	doc     *openapitest.Document
	reading sync.Mutex // guards doc
	gen     *generator
	client  *http.Client
	tokens  map[string]string
	plugins string // the watched directory
	log     lockedBuffer

	mu       sync.Mutex
	statuses map[string]map[int]int // counts by operation and status
}

// lockedBuffer is a buffer for a logger.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func guestFile(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile("../testdata/guests/" + name + ".wasm")
	must(t, err)
	return content
}

// startRandomHost starts a Host with two plugins, a marketplace and a server to
// install from, both of this process.
func startRandomHost(t *testing.T, engine string) *randomHost {
	t.Helper()
	h := &randomHost{client: &http.Client{
		Timeout:       randomHang,
		Transport:     &http.Transport{MaxIdleConnsPerHost: randomWorkers, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, statuses: make(map[string]map[int]int)}
	t.Cleanup(h.client.CloseIdleConnections)
	by, err := format.NewSigner()
	must(t, err)
	tree, err := publish.Open(t.TempDir(), true)
	must(t, err)
	t.Cleanup(func() { tree.Close() })
	bundle, err := publish.Make(publish.Draft{Publisher: "acme", Module: guestFile(t, "count"), Manifest: []byte(`{"name":"shopped","version":"1.0.0"}`), Released: time.Now().Add(-time.Hour)}, by)
	must(t, err)
	_, err = tree.Add(bundle, new(by.Key()))
	must(t, err)
	_, err = tree.Sign(t.Context(), publish.Signing{Name: "shop", Expires: time.Now().Add(time.Hour)}, by)
	must(t, err)
	files, refused := guestFile(t, "config_echo"), guestFile(t, "refused_import")
	shelf := http.NewServeMux()
	shelf.Handle("/", tree.Handler())
	for path, content := range map[string][]byte{"/files/extra.wasm": files, "/files/refused.wasm": refused} {
		shelf.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) })
	}
	shop := httptest.NewServer(shelf)
	t.Cleanup(shop.Close)

	dir := t.TempDir()
	h.plugins = filepath.Join(dir, "plugins")
	must(t, os.Mkdir(h.plugins, 0o755))
	for _, name := range []string{"echo", "reject"} {
		must(t, os.WriteFile(filepath.Join(h.plugins, name+".wasm"), guestFile(t, name), 0o644))
	}
	config, data := filepath.Join(dir, "berth.yaml"), filepath.Join(dir, "data")
	must(t, os.WriteFile(config, []byte(fmt.Sprintf("plugin_directories: [%q]\nroutes:\n  \"*\": {}\nbus: {engine: %s}\n"+
		"schedules: {nightly: {cron: \"@daily\", event_type: t}}\nevent_types: {t: {owner: o}, strict: {schema: {type: object}}}\n"+
		"marketplace:\n  enabled: true\n  index_url: %s/\n  trusted_keys: [%s]\n  allow_private_hosts: [127.0.0.1]\n",
		h.plugins, engine, shop.URL, by.Key())), 0o644))
	h.Host, err = host.New(host.Config{ConfigPath: config, DataDir: data, Listen: "127.0.0.1:0", Version: "1.0.0-random",
		Logger: slog.New(slog.NewTextHandler(&h.log, &slog.HandlerOptions{Level: slog.LevelError}))})
	must(t, err)
	must(t, h.Start(t.Context()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), randomHang)
		defer cancel()
		if err := h.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	must(t, h.Ready(t.Context()))
	h.know(t, data, shop.URL, files, refused)
	return h
}

// know reads the document, creates objects, and adds their names to the generator.
func (h *randomHost) know(t *testing.T, data, shop string, files, refused []byte) {
	t.Helper()
	admin, err := auth.ReadToken(data)
	must(t, err)
	_, narrow, err := auth.Create(data, "narrow", []string{"read"}, time.Time{})
	must(t, err)
	h.tokens = map[string]string{"admin": admin, "narrow": narrow, "wrong": "berth_wrong"}
	text := h.call(t, "GET", "/openapi.json", "")
	h.doc, err = openapitest.Read(text)
	must(t, err)

	known := map[string][]string{
		"name": {"echo", "reject", "shopped", "extra", "nobody"}, "plugin": {"echo", "reject", "nobody"},
		"uninstallPlugin name": {"shopped", "extra", "nobody"}, // names of existing plugins are rare
		"approvePlugin name":   {"echo", "reject"},
		"event_type":           {"t", "order_status_changed", "strict"}, "type": {"t", "order_status_changed", "strict"}, "schedule": {"nightly", "other"},
		"subject": {"s-1", "s-2"}, "idempotency_key": {"key-1", "key-2", "key-3"}, "Idempotency-Key": {"key-1", "key-4"},
		"customer_id": {"c-1", "c-2"}, "q": {"shopped", "acme"}, "publisher": {"acme"},
		"from": {"earliest", "1", "1h", "2026-05-01T10:00:00Z"}, "to": {"1h", "3", "2030-01-01T00:00:00Z"},
		"since": {"1", "2026-05-01T10:00:00Z"}, "version": {"1.0.0", "^1", "not a version"}, "Last-Event-ID": {"1", "0"},
		// The test needs no network: these are the only sources.
		"url":    {shop + "/files/extra.wasm", shop + "/files/refused.wasm", shop + "/files/none", "https://10.0.0.1/x.wasm", "http://192.168.0.1/", "file:///etc/passwd", "ftp://127.0.0.1/x", "x", "//", "https://"},
		"ref":    {"x", "oci://", "oci:// /x", "docker://x/y"},
		"sha256": {fmt.Sprintf("%x", sha256.Sum256(files)), fmt.Sprintf("%x", sha256.Sum256(refused))},

		"status": {"ok", "dead"}, "class": {"rejected", "trap"}, "until": {"2030-01-01T00:00:00Z"}, "when": {"true", "data.n > 0"},
		"handler": {"echo", "reject"}, "source": {"api", "orders"}, "published_by": {"admin"}, "token": {admin, narrow}, "Berth-Console": {"1"},
	}
	known["prefix"], known["key_encoding"] = []string{"k", "a"}, []string{"base64"}
	for _, of := range []string{"getStateValue", "setStateValue", "deleteStateValue"} {
		known[of+" name"] = []string{"echo", "echo", "reject", "nobody"}
		known[of+" key"] = []string{"k1", "k1", "azE", "a/b"} // azE is k1 in base64
	}
	known["deleteStateValue name"], known["deleteStateValue key"] = []string{"echo"}, []string{"a/b"} // k1 stays
	for i := range 30 {
		key := fmt.Sprint("d", i)
		h.call(t, "PUT", "/api/v1/events/plugins/echo/kv/"+key, `{"value":1}`)
		known["deleteStateValue key"] = append(known["deleteStateValue key"], key)
	}
	h.call(t, "PUT", "/api/v1/events/plugins/echo/kv/k1", `{"value":1}`)
	known["deliver_at"], known["deliver_after"] = []string{"2030-01-01T00:00:00Z", "2026-05-01T10:00:00Z"}, []string{"10ms", "1h", "9000h"}
	known["cancelScheduledEvent key"] = []string{"due-1", "due-2", "key-1"}
	for _, key := range known["cancelScheduledEvent key"][:2] {
		h.call(t, "POST", "/api/v1/events", fmt.Sprintf(`{"event_type":"t","metadata":{"idempotency_key":%q,"deliver_after":"1h"}}`, key))
	}
	// There is one issue, of reject, and soon an operation.
	for _, of := range []string{"getIssue", "acknowledgeIssue", "ignoreIssue", "reopenIssue", "resolveIssue", "getOperation", "cancelOperation"} {
		known[of+" id"] = []string{"1", "1", "1", "2"}
	}
	for i := range 4 {
		id := fmt.Sprint("o-", i)
		h.call(t, "POST", "/api/v1/orders", fmt.Sprintf(`{"id":%q,"customer_id":"c-1","currency":"EUR","items":[{"sku":"s","quantity":1,"unit_price_cents":2}]}`, id))
		for _, of := range []string{"getOrder", "moveOrder"} {
			known[of+" id"] = append(known[of+" id"], id)
		}
		known["createOrder id"] = append(known["createOrder id"], id, fmt.Sprint("new-", i))
	}
	for i := range 3 {
		text := h.call(t, "POST", "/api/v1/events", fmt.Sprintf(`{"event_type":"t","data":{"n":%d},"metadata":{"idempotency_key":"key-%[1]d","subject":"s-1"}}`, i))
		var receipt wire.Receipt
		must(t, json.Unmarshal(text, &receipt))
		for _, name := range []string{"getEvent id", "getDeadLetters id", "event_id"} {
			known[name] = append(known[name], receipt.EventID)
		}
	}
	known["data_base64"], known["datacontenttype"] = []string{"e30="}, []string{"application/json", "text/plain"}
	for name, path := range map[string]string{"listEvents cursor": "/api/v1/events?limit=2", "listOrders cursor": "/api/v1/orders?limit=1"} {
		var page struct {
			Next string `json:"next"`
		}
		must(t, json.Unmarshal(h.call(t, "GET", path, ""), &page))
		known[name] = []string{page.Next}
	}
	byURL := func(name, path string, content []byte) string {
		return fmt.Sprintf(`{"name":%q,"url":"%s/files/%s.wasm","sha256":"%x"}`, name, shop, path, sha256.Sum256(content))
	}
	approval := func(name string) string { return fmt.Sprintf(`{"sha256":"%x"}`, sha256.Sum256(guestFile(t, name))) }
	whole := map[string][]string{
		"installPlugin application/json":             {byURL("extra", "extra", files), byURL("extra", "extra", files), byURL("echo", "extra", files), byURL("refused", "refused", refused), `{"name":"shopped"}`},
		"upgradePlugin application/json":             {fmt.Sprintf(`{"url":"%s/files/extra.wasm","sha256":"%x"}`, shop, sha256.Sum256(files)), `{}`},
		"approvePlugin application/json":             {approval("echo"), approval("reject")},
		"redriveDeadLetters application/json":        {`{"plugin":"reject"}`, `{"plugin":"reject","event_type":"t","class":"rejected"}`},
		"purgeDeadLetters application/json":          {`{"plugin":"reject","subject":"s-1"}`, `{"plugin":"echo","since":"2026-01-01T00:00:00Z"}`},
		"replayEvents application/json":              {`{"plugin":"echo","from":1}`, `{"plugin":"reject","from":"earliest","to":3}`, `{"plugin":"echo","from":"1h"}`},
		"publish application/cloudevents+json":       {`{"specversion":"1.0","id":"1","source":"/shop","type":"t","subject":"s-2","data":{"status":"x"}}`, `{"specversion":"1.0","id":"2","source":"/shop","type":"t","datacontenttype":"text/plain","data":"x"}`},
		"publish application/cloudevents-batch+json": {`[{"specversion":"1.0","id":"1","source":"/shop","type":"t"},{"specversion":"1.0","id":"3","source":"/shop","type":"t","data_base64":"e30="}]`},
		"login application/json":                     {`{"token":"` + admin + `"}`, `{"token":"` + narrow + `"}`},
		"setHandlerConfig application/json":          {`{"config":{}}`, `{"config":{"limit":1}}`},
		"setStateValue application/json":             {`{"value":{"n":1}}`, `{"value_text":"x","expires_in":"1h"}`, `{"value_base64":"/w=="}`},
		"planConfig application/json":                {`{"config":"routes: {\"*\": {}}"}`, `{"manifest":{"name":"echo","version":"1.0.0"},"against":"1h"}`, `{}`},
		"startOperation application/json":            {`{"kind":"replay","plugin":"echo","filter":{"from":"earliest","event_type":"t"}}`, `{"kind":"redrive","plugin":"reject","filter":{}}`, `{"kind":"retry","plugin":"reject","filter":{},"preview":true}`},
		"publish application/json":                   {`{"event_type":"t","data":{"status":"x"}}`, `[{"event_type":"t"},{"event_type":"order_status_changed","metadata":{"subject":"s-1"}}]`},
	}
	h.gen = &generator{doc: h.doc, known: known, whole: whole}
}

// call makes a request that succeeds.
func (h *randomHost) call(t *testing.T, method, path, body string) []byte {
	t.Helper()
	text, err := h.ask(t.Context(), method, path, body)
	must(t, err)
	return text
}

func (h *randomHost) ask(ctx context.Context, method, path, body string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, h.URL()+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+h.tokens["admin"])
	r.Header.Set("Content-Type", "application/json")
	resp, err := h.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode > 299 {
		err = fmt.Errorf("%s %s: %s %s", method, path, resp.Status, text)
	}
	return text, err
}

// try sends a request and checks the answer.
func (h *randomHost) try(ctx context.Context, r request) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := r.http(ctx, h.URL(), h.tokens)
	if err != nil {
		return err
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	method := r.method
	if method == http.MethodHead { // described by GET
		method = http.MethodGet
	}
	op, described := h.operation(method, resp.Request.URL.EscapedPath())
	h.count(op.ID, resp.StatusCode)
	var body []byte
	if !described || op.ID != "streamActivity" || resp.StatusCode != http.StatusOK { // which does not end
		if body, err = io.ReadAll(resp.Body); err != nil {
			return err
		}
	}
	kind := resp.Header.Get("Content-Type")
	h.reading.Lock()
	defer h.reading.Unlock()
	switch {
	case resp.StatusCode >= 500:
		return fmt.Errorf("%s: %s", resp.Status, body)
	case resp.StatusCode >= 400 && r.method == http.MethodHead:
		return nil // no body to check
	case resp.StatusCode >= 400:
		if err := h.doc.Problem(kind, body); err != nil {
			return fmt.Errorf("%s: %w: %s", resp.Status, err, body)
		}
		var p wire.Problem
		if err := json.Unmarshal(body, &p); err != nil || p.Status != resp.StatusCode || p.Code == "" || p.Detail == "" {
			return fmt.Errorf("%s has the problem %s", resp.Status, body)
		}
		if p.Code == "internal" {
			return fmt.Errorf("%s: an internal error: %s", resp.Status, body)
		}
		return nil
	case r.method == http.MethodOptions && resp.StatusCode == http.StatusNoContent: // the framework's own
		return nil
	case r.method == http.MethodHead && described && len(body) == 0:
		return nil
	case !described:
		return fmt.Errorf("%s, which is not described: %s", resp.Status, body)
	}
	if err := h.doc.Answer(op, resp.StatusCode, kind, body); err != nil {
		return fmt.Errorf("%s: %w: %s", resp.Status, err, body)
	}
	if kind == "text/event-stream" {
		return h.frames(op, body)
	}
	return nil
}

// frames checks the events of a stream that has ended.
func (h *randomHost) frames(op openapitest.Operation, body []byte) error {
	for frame := range strings.SplitSeq(string(body), "\n\n") {
		head, data, _ := strings.Cut(frame, "\ndata: ")
		name, ok := strings.CutPrefix(head, "event: ")
		if !ok {
			continue
		}
		if err := h.doc.Event(op, http.StatusOK, name, []byte(data)); err != nil {
			return fmt.Errorf("%w: %s", err, frame)
		}
		var p wire.Problem
		if name == "problem" {
			if err := json.Unmarshal([]byte(data), &p); err != nil || p.Status >= 500 {
				return fmt.Errorf("the stream ended with %s", frame)
			}
		}
	}
	return nil
}

// operation finds the operation of a path as the router does: a literal element wins
// over a parameter.
func (h *randomHost) operation(method, path string) (openapitest.Operation, bool) {
	words := strings.Split(path, "/")
	var found openapitest.Operation
	best := -1
	for _, op := range h.doc.Operations {
		parts := strings.Split(op.Path, "/")
		if op.Method != method || len(parts) != len(words) {
			continue
		}
		score := 0
		for i, part := range parts {
			switch {
			case part == words[i]:
				score++
			case strings.HasPrefix(part, "{"):
			default:
				score = -1000
			}
		}
		if score > best {
			found, best = op, score
		}
	}
	return found, best >= 0
}

func (h *randomHost) count(id string, status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.statuses[id] == nil {
		h.statuses[id] = make(map[int]int)
	}
	h.statuses[id][status]++
}

// report logs the counts of the answers, and fails the test for an operation that never
// succeeded, since its requests would test little.
func (h *randomHost) report(t *testing.T, engine string) {
	t.Helper()
	total := make(map[int]int)
	for _, op := range h.doc.Operations {
		succeeded := rareSuccess(op.ID, engine)
		for status, n := range h.statuses[op.ID] {
			total[status] += n
			succeeded = succeeded || status < 400
		}
		if !succeeded && !t.Failed() {
			t.Errorf("%s never succeeded: %v", op.ID, h.statuses[op.ID])
		}
		t.Logf("%s: %v", op.ID, h.statuses[op.ID])
	}
	t.Logf("all: %v, not described: %v", total, h.statuses[""])
}

// rareSuccess reports whether the success of an operation depends on earlier requests, or on
// the engine.
func rareSuccess(id, engine string) bool {
	if id == "makeBackup" && engine == "memory" {
		return true // there is no store to copy
	}
	switch id {
	case "upgradePlugin", "rollbackPlugin":
		return true
	case "skipEvents": // of a damaged log only
		return true
	case "skipEvent", "cancelOperation": // of what is under way
		return true
	case "drainMember", "undrainMember", "adoptDecisions": // of hosts that share a database
		return true
	}
	return false
}

// delivers fails the test unless an event published now is delivered.
func (h *randomHost) delivers(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), randomHang)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", h.URL()+"/api/v1/events/stream", nil)
	must(t, err)
	r.Header.Set("Authorization", "Bearer "+h.tokens["admin"])
	resp, err := h.client.Do(r)
	must(t, err)
	defer resp.Body.Close()
	h.call(t, "POST", "/api/v1/events/plugins/echo/enable", "")
	h.call(t, "POST", "/api/v1/events/plugins/echo/resume", "")
	text := h.call(t, "POST", "/api/v1/events", `{"event_type":"t","data":{"status":"last"}}`)
	var receipt wire.Receipt
	must(t, json.Unmarshal(text, &receipt))
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		var a wire.Activity
		if !ok || json.Unmarshal([]byte(data), &a) != nil || a.Delivery == nil {
			continue
		}
		if a.Delivery.EventID == receipt.EventID && a.Delivery.Plugin == "echo" && a.Delivery.Status == "ok" {
			return
		}
	}
	t.Errorf("the event %s was not delivered: %v\n%s", receipt.EventID, errors.Join(lines.Err(), ctx.Err()), h.call(t, "GET", "/api/v1/events/"+receipt.EventID, ""))
}
