package sandbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox"
)

// callMore is call with a second text.
func callMore(t testing.TB, name, text, more string, args ...any) event.Attempt {
	t.Helper()
	data, err := json.Marshal(map[string]any{"call": name, "text": text, "more": more, "args": args})
	if err != nil {
		t.Fatal(err)
	}
	return attempt(t, 1, string(data))
}

var callList = []any{"text", "len", "more", "morelen", "buf", "cap"}

// listed is what kv_list yields for keys.
func listed(keys ...string) string {
	var b strings.Builder
	for _, key := range keys {
		b.WriteString(string([]byte{byte(len(key)), byte(len(key) >> 8), 0, 0}) + key)
	}
	return b.String()
}

func TestKVList(t *testing.T) {
	k := newMapKV(1 << 20)
	for _, key := range []string{"a", "b:1", "b:2", "b:3", "c"} {
		if err := k.Set(t.Context(), key, []byte("value")); err != nil {
			t.Fatal(err)
		}
	}
	_, q := start(t, load(t, guest(t, "any_call")), sandbox.PoolConfig{Capabilities: sandbox.Capabilities{KV: k}})
	for _, tt := range []struct {
		name         string
		prefix, more string
		args         []any
		want         answered
	}{
		{"all", "", "", callList, answered{Yielded: listed("a", "b:1", "b:2", "b:3", "c")}},
		{"a prefix", "b:", "", callList, answered{Yielded: listed("b:1", "b:2", "b:3")}},
		{"after a key", "b:", "b:1", callList, answered{Yielded: listed("b:2", "b:3")}},
		{"after a key that is not there", "b:", "b:11", callList, answered{Yielded: listed("b:2", "b:3")}},
		{"after the last", "", "c", callList, answered{}},
		{"no such prefix", "x", "", callList, answered{}},
		{"a longest prefix", "", "", []any{"text", 256, "text", 0, "buf", "cap"}, answered{}},
		{"a prefix that is too long", "", "", []any{"text", 257, "text", 0, "buf", "cap"}, answered{Code: abi.TooLarge}},
		{"a longest key to list from", "", "", []any{"text", 0, "more", 256, "buf", "cap"}, answered{}},
		{"a key to list from that is too long", "", "", []any{"text", 0, "more", 257, "buf", "cap"}, answered{Code: abi.TooLarge}},
	} {
		q.push(callMore(t, "kv_list", tt.prefix, tt.more, tt.args...))
		got := answerOf(t, q.await(t))
		if tt.want.Code == 0 {
			tt.want.Code = abi.Code(len(tt.want.Yielded))
		}
		if got.Error = ""; got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
	q.push(callMore(t, "kv_list", "b:", "", "text", "len", "more", 0, "buf", 0)) // nothing fits: the length is answered
	if d := q.await(t); !strings.HasPrefix(d.result, `{"code":21,`) {
		t.Errorf("without capacity: got %s", d.result)
	}
}

// TestKVListIsBounded: one call yields 256 keys and 64 KiB at maximum, whole entries only.
func TestKVListIsBounded(t *testing.T) {
	m := load(t, guest(t, "kv_walk"))
	for name, tt := range map[string]struct{ size, want int }{
		"by keys":  {8, abi.MaxKVList * (4 + 8)},
		"by bytes": {abi.MaxKVKey, abi.MaxKVListBytes / (4 + abi.MaxKVKey) * (4 + abi.MaxKVKey)},
	} {
		t.Run(name, func(t *testing.T) {
			k := newMapKV(1 << 20)
			for i := range abi.MaxKVList + 1 {
				if err := k.Set(t.Context(), fmt.Sprintf("%0*d", tt.size, i), nil); err != nil {
					t.Fatal(err)
				}
			}
			_, q := start(t, m, sandbox.PoolConfig{Capabilities: sandbox.Capabilities{KV: k}})
			q.push(attempt(t, 1, `{}`))
			want := fmt.Sprintf(`{"keys":%d,"calls":3,"bytes":%d,"trace":-2}`, abi.MaxKVList+1, tt.want)
			if d := q.await(t); d.result != want {
				t.Errorf("got %s %s, want %s", d.result, d.outcome.Message, want)
			}
		})
	}
}

func TestKVExpire(t *testing.T) {
	k := newMapKV(1 << 20)
	if err := k.Set(t.Context(), "a", nil); err != nil {
		t.Fatal(err)
	}
	_, q := start(t, load(t, guest(t, "any_call")), sandbox.PoolConfig{Capabilities: sandbox.Capabilities{KV: k}})
	for _, tt := range []struct {
		key     string
		seconds any
		want    abi.Code
		within  time.Duration // 0: it has no limit
	}{
		{"a", 60, 0, time.Minute}, {"a", 0, 0, 0}, {"a", 1<<31 - 1, 0, (1<<31 - 1) * time.Second}, {"a", -1, abi.Invalid, (1<<31 - 1) * time.Second},
		{"none", 1, abi.NotFound, 0}, {"", 1, abi.Invalid, 0}, {strings.Repeat("k", 257), 1, abi.TooLarge, 0},
	} {
		before := time.Now()
		q.push(call(t, "kv_expire", tt.key, "text", "len", tt.seconds))
		if got := answerOf(t, q.await(t)); got.Code != tt.want {
			t.Errorf("%.10s, %v: got %+v, want %v", tt.key, tt.seconds, got, tt.want)
		}
		until := k.until[tt.key]
		if until.IsZero() != (tt.within == 0) || tt.want == 0 && tt.within > 0 && (until.Before(before.Add(tt.within-time.Second)) || until.After(time.Now().Add(tt.within+time.Second))) {
			t.Errorf("%.10s, %v: it disappears at %v", tt.key, tt.seconds, until)
		}
	}
}

// tracing is a queue whose attempts are traced.
type tracing struct{ *queue }

type tracingLease struct{ single }

const span = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func (q tracing) Lease() sandbox.Lease   { return &tracingLease{single{source: q}} }
func (tracingLease) TraceParent() string { return span }

func TestTrace(t *testing.T) {
	m := load(t, guest(t, "any_call"))
	q := tracing{newQueue()}
	p, err := m.NewPool(t.Context(), sandbox.PoolConfig{Source: q})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Drain(context.Background()); err != nil {
			t.Error(err)
		}
	})
	q.push(call(t, "trace", "", "buf", "cap"))
	if got, want := answerOf(t, q.await(t)), (answered{Code: abi.Code(len(span)), Yielded: span}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	_, untraced := start(t, m, sandbox.PoolConfig{})
	untraced.push(call(t, "trace", "", "buf", "cap"))
	if got := answerOf(t, untraced.await(t)); got.Code != abi.NotFound || got.Error == "" {
		t.Errorf("an attempt that is not traced: got %+v", got)
	}
	untraced.push(call(t, "trace", "", 1<<30, 1))
	if d := untraced.await(t); d.outcome.Class != event.ClassTrap {
		t.Errorf("a buffer outside of the memory: got %+v", d.outcome)
	}
}
