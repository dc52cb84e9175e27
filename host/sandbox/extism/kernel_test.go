package extism_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/sandbox/extism"
)

// host is a Host with memory up to a limit.
type host struct {
	limit   int64
	memory  []byte
	charged int
	logged  []string
	config  map[string]string
	vars    map[string][]byte
	sent    string
	answer  string
	failure error
}

// trapped is what a Host panics with.
type trapped string

func (h *host) Charge(bytes int) { h.charged += bytes + 1 }
func (h *host) Exhausted()       { panic(trapped("out of memory")) }
func (h *host) Trap(text string) { panic(trapped(text)) }

func (h *host) Grow(size int64) []byte {
	if size > h.limit {
		return nil
	}
	h.memory = append(h.memory, make([]byte, size-int64(len(h.memory)))...)
	return h.memory
}

func (h *host) Log(level extism.Level, text []byte) {
	h.logged = append(h.logged, fmt.Sprintf("%d %s", level, text))
}

func (h *host) Config(key string) (string, bool) {
	value, ok := h.config[key]
	return value, ok
}

func (h *host) Var(key string) ([]byte, bool) {
	value, ok := h.vars[key]
	return value, ok
}

func (h *host) SetVar(key string, value []byte) { h.vars[key] = bytes.Clone(value) }
func (h *host) RemoveVar(key string)            { delete(h.vars, key) }

func (h *host) Send(request []byte) (string, error) {
	h.sent = string(request)
	return h.answer, h.failure
}

// guest calls the functions of a kernel.
type guest struct {
	*extism.Kernel
	host  *host
	calls map[string]extism.Function
}

func newGuest(limit int64) *guest {
	h := &host{limit: limit, config: map[string]string{"currency": "EUR", "empty": ""}, vars: map[string][]byte{}}
	g := &guest{extism.New(h), h, extism.Functions()}
	g.Begin("")
	return g
}

// call calls a function with arguments as the guest passes them; an i32 has garbage above it.
func (g *guest) call(name string, args ...uint64) uint64 {
	f := g.calls[name]
	if len(args) != len(f.Params) {
		panic(fmt.Sprintf("%s takes %d arguments", name, len(f.Params)))
	}
	stack := make([]uint64, max(len(args), len(f.Results), 1))
	copy(stack, args)
	f.Call(g.Kernel, stack)
	return stack[0]
}

// text returns the contents of a block.
func (g *guest) text(offset uint64) string {
	b := make([]byte, g.call("length", offset))
	for i := range b {
		b[i] = byte(g.call("load_u8", offset+uint64(i)))
	}
	return string(b)
}

// block makes a block with this text.
func (g *guest) block(text string) uint64 {
	offset := g.call("alloc", uint64(len(text)))
	for i := range len(text) {
		g.call("store_u8", offset+uint64(i), uint64(text[i]))
	}
	return offset
}

// trap returns the reason with which a call traps; "" if it does not.
func (g *guest) trap(name string, args ...uint64) (reason string) {
	defer func() {
		if r := recover(); r != nil {
			reason = string(r.(trapped))
		}
	}()
	g.call(name, args...)
	return ""
}

func TestInputAndOutput(t *testing.T) {
	g := newGuest(1 << 20)
	g.Begin("0123456789abcdef-")
	if got := g.call("input_length"); got != 17 {
		t.Fatalf("the input has %d bytes", got)
	}
	if got := g.text(g.call("input_offset")); got != "0123456789abcdef-" {
		t.Errorf("the input is %q", got)
	}
	for _, tt := range []struct{ call, want string }{
		{"input_load_u8", "4"}, {"input_load_u64", "456789ab"},
	} {
		n := g.call(tt.call, 4)
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], n)
		if got := string(bytes.TrimRight(b[:], "\x00")); got != tt.want {
			t.Errorf("%s gives %q, want %q", tt.call, got, tt.want)
		}
	}
	if len(g.Output()) != 0 || g.call("output_length") != 0 {
		t.Error("there is an output before it is set")
	}
	out := g.block(`{"ok":true}`)
	g.call("output_set", out, 11)
	if g.call("output_offset") != out || g.call("output_length") != 11 {
		t.Error("the output is not what was set")
	}
	g.call("store_u64", out, binary.LittleEndian.Uint64([]byte(`{"so":12`)))
	g.call("free", out) // as PDKs do
	if again := g.block(strings.Repeat("x", 11)); again == out {
		t.Error("the output's block was used again")
	}
	if got := string(g.Output()); got != `{"so":12ue}` {
		t.Errorf("the output is %q", got)
	}
	g.call("output_set", out+1, 4)
	if got := string(g.Output()); got != `"so"` {
		t.Errorf("a part of a block as output is %q", got)
	}
	g.call("output_set", 0, 0)
	if len(g.Output()) != 0 {
		t.Error("the output is not empty")
	}
}

func TestInputIsOfOneCall(t *testing.T) {
	g := newGuest(1 << 20)
	g.Begin("first")
	first := g.call("input_offset")
	g.call("output_set", first, 5)
	g.call("error_set", first)
	g.call("store_u8", first, 'F')
	g.Begin("2")
	if got := g.text(g.call("input_offset")); got != "2" {
		t.Errorf("the second input is %q", got)
	}
	if _, set := g.Failure(); set || len(g.Output()) > 0 || g.call("error_get") != 0 {
		t.Error("output or error are of the call before")
	}
	g.call("free", g.call("input_offset"))
	if g.call("input_length") != 0 || g.call("input_load_u8", 0) != 0 {
		t.Error("a freed input can be read")
	}
	b := g.block("mine")
	g.call("input_set", b+1, 2)
	if g.call("input_length") != 2 || g.call("input_load_u8", 0) != 'i' || g.call("input_load_u8", 2) != 0 || g.call("input_load_u64", 0) != 0 {
		t.Error("the input is not the one that was set")
	}
	g.call("reset")
	if g.call("input_length") != 0 || g.call("length", b) != 0 || g.call("memory_bytes") != 64 {
		t.Error("a block has survived a reset")
	}
}

func TestErrors(t *testing.T) {
	g := newGuest(1 << 20)
	for _, tt := range []struct {
		text, want string
		set        bool
	}{{"no stock", "no stock", true}, {"", "", false}, {strings.Repeat("x", 9000), strings.Repeat("x", 8192), true}} {
		b := g.block(tt.text)
		g.call("error_set", b)
		if got := g.call("error_get"); got != b {
			t.Errorf("error_get gives %d, want %d", got, b)
		}
		g.call("free", b)
		if got, set := g.Failure(); got != tt.want || set != tt.set {
			t.Errorf("%.10q: got %.10q of %d bytes, %v", tt.text, got, len(got), set)
		}
	}
}

func TestConfigAndVars(t *testing.T) {
	g := newGuest(1 << 20)
	if got := g.text(g.call("config_get", g.block("currency"))); got != "EUR" {
		t.Errorf("config_get gives %q", got)
	}
	for _, key := range []string{"missing", "empty", ""} {
		if got := g.call("config_get", g.block(key)); got != 0 {
			t.Errorf("config_get %q gives %d", key, got)
		}
	}
	key := g.block("seen")
	if got := g.call("var_get", key); got != 0 {
		t.Errorf("var_get gives %d before it is set", got)
	}
	g.call("var_set", key, g.block("\x00\xff"))
	g.Begin("")
	key = g.block("seen")
	if got := g.text(g.call("var_get", key)); got != "\x00\xff" {
		t.Errorf("var_get gives %q", got)
	}
	g.call("var_set", key, 0)
	if got := g.call("var_get", key); got != 0 {
		t.Errorf("var_get gives %d after it was removed", got)
	}
}

func TestLogs(t *testing.T) {
	g := newGuest(1 << 20)
	if got := g.call("get_log_level"); got != 1 {
		t.Errorf("the level is %d, want that of debug", got)
	}
	for _, level := range []string{"trace", "debug", "info", "warn", "error"} {
		g.call("log_"+level, g.block(level))
	}
	g.call("log_info", 0)
	if want := []string{"1 trace", "1 debug", "2 info", "3 warn", "4 error", "2 "}; !slices.Equal(g.host.logged, want) {
		t.Errorf("logged %q, want %q", g.host.logged, want)
	}
}

func TestHTTP(t *testing.T) {
	for _, tt := range []struct {
		name, request, body, answer string
		failure                     error
		sent, got, headers, cause   string
		status                      uint64
	}{
		{name: "get", request: `{"url":"https://a.example/"}`, answer: `{"status":200,"headers":{"x":"y"},"body":"hi"}`,
			sent: `{"method":"GET","url":"https://a.example/"}`, got: "hi", headers: `{"x":"y"}`, status: 200},
		{name: "post", request: `{"url":"u","method":"POST","headers":{"a":"b"},"more":1}`, body: "{\"é\":1}", answer: `{"status":204,"headers":{},"body":""}`,
			sent: `{"method":"POST","url":"u","headers":{"a":"b"},"body":"{\"é\":1}"}`, headers: `{}`, status: 204},
		{name: "bytes", request: `{"url":"u","method":"PUT","header":{"a":"b"}}`, body: "\xff\x00", answer: `{"status":500,"headers":{},"body_base64":"AP8="}`,
			sent: `{"method":"PUT","url":"u","headers":{"a":"b"},"body_base64":"/wA="}`, got: "\x00\xff", headers: `{}`, status: 500},
		{name: "denied", request: `{"url":"u"}`, failure: errors.New("the host u is not granted"), sent: `{"method":"GET","url":"u"}`,
			cause: "http_request: the host u is not granted"},
		{name: "no JSON", request: `url`, cause: "http_request: the request is not a JSON object with url, method and headers"},
		{name: "no request", cause: "http_request: the request is not a JSON object with url, method and headers"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuest(1 << 20)
			g.host.answer, g.host.failure = tt.answer, tt.failure
			got := g.text(g.call("http_request", g.block(tt.request), g.block(tt.body)))
			if g.host.sent != tt.sent || got != tt.got || g.call("http_status_code") != tt.status || g.Cause() != tt.cause {
				t.Errorf("sent %s, got %q, status %d, cause %q", g.host.sent, got, g.call("http_status_code"), g.Cause())
			}
			if got := g.text(g.call("http_headers")); got != tt.headers {
				t.Errorf("the headers are %q, want %q", got, tt.headers)
			}
			if (len(g.host.logged) > 0) != (tt.cause != "") {
				t.Errorf("logged %q", g.host.logged)
			}
			g.Begin("")
			if g.call("http_status_code") != 0 || g.call("http_headers") != 0 || g.Cause() != "" {
				t.Error("the response is there at the next call")
			}
		})
	}
}

// A request over the limit of the host's client is refused before the host copies it.
func TestLargeRequests(t *testing.T) {
	const limit = 1 << 20
	large := strings.Repeat("\x01", limit)
	for _, tt := range []struct{ name, request, body string }{
		{"the body", `{"url":"u"}`, large},
		{"the request", `{"url":"u","method":"` + large + `"}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuest(8 << 20)
			request, body := g.block(tt.request), g.block(tt.body)
			got := g.call("http_request", request, body)
			if want := "the limit is 1048576"; got != 0 || g.host.sent != "" || !strings.HasSuffix(g.Cause(), want) {
				t.Errorf("got %d, sent %d bytes, cause %.100q; want %q", got, len(g.host.sent), g.Cause(), want)
			}
		})
	}
}

// Work is charged by what is done, not by what is asked for.
func TestWorkIsCharged(t *testing.T) {
	g := newGuest(1 << 20)
	g.host.charged = 0
	g.call("alloc", 1<<40)
	if g.host.charged > 100 {
		t.Errorf("a refused block costs %d", g.host.charged)
	}
	b := g.call("alloc", 1<<19)
	if g.host.charged < 1<<19 {
		t.Errorf("half a MiB costs %d", g.host.charged)
	}
	g.host.charged = 0
	g.call("log_info", b)
	if g.host.charged < 1<<19 {
		t.Errorf("a line of half a MiB costs %d", g.host.charged)
	}
	g.call("free", b)
	g.host.charged = 0
	g.call("alloc", 1<<19)
	if g.host.charged < 1<<19 {
		t.Errorf("half a MiB that was freed costs %d", g.host.charged)
	}
}

// FuzzKernel compares blocks with a model, and holds that nothing panics.
func FuzzKernel(f *testing.F) {
	f.Add([]byte{0, 1, 0, 200, 1, 0, 2, 3, 0, 9, 5, 0, 6, 1})
	f.Add(bytes.Repeat([]byte{0, 90, 1, 0}, 30))
	names := slices.Sorted(maps.Keys(extism.Functions()))
	f.Fuzz(func(t *testing.T, program []byte) {
		g := newGuest(1 << 16)
		g.Begin("an input")
		model := map[uint64]string{g.call("input_offset"): "an input"}
		order := []uint64{g.call("input_offset")}
		for i := 0; i+1 < len(program); i += 2 {
			op, arg := program[i], program[i+1]
			at := order[int(arg)%len(order)]
			switch op % 6 {
			case 0:
				text := strings.Repeat(string('a'+rune(arg%26)), int(arg)*int(arg)/16)
				b := g.call("alloc", uint64(len(text)))
				if b == 0 {
					continue
				}
				if _, used := model[b]; used {
					t.Fatalf("the block at %d is there already", b)
				}
				for j := range len(text) {
					g.call("store_u8", b+uint64(j), uint64(text[j]))
				}
				model[b] = text
				order = append(order, b)
			case 1:
				g.call("free", at)
				delete(model, at)
			case 2:
				g.trap("output_set", at, uint64(arg))
			case 3:
				g.trap("error_set", at)
			case 4: // any function with any arguments, except for those that the model follows
				name := names[int(arg)%len(names)]
				if slices.Contains([]string{"alloc", "free", "reset", "store_u8", "store_u64", "http_request", "config_get", "var_get", "var_set", "http_headers"}, name) {
					continue
				}
				args := make([]uint64, len(g.calls[name].Params))
				for j := range args {
					args[j] = at<<(8*(op/6%9)) - uint64(j)*uint64(arg)
				}
				g.trap(name, args...)
			case 5:
				g.Begin("again")
				model = map[uint64]string{g.call("input_offset"): "again"}
				order = []uint64{g.call("input_offset")}
			}
		}
		_ = g.Output()
		for b, text := range model {
			if got := g.text(b); got != text && g.call("length", b) == uint64(len(text)) {
				t.Fatalf("the block at %d of %d bytes has another content", b, len(text))
			} else if got != text {
				t.Fatalf("the block at %d has %d bytes, want %d", b, len(got), len(text))
			}
		}
	})
}
