package run

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/issues"
	"github.com/berth-host/berth/host/route"
	"github.com/berth-host/berth/host/spec"
)

// languages are messages of one cause: § differs between events, and L between versions.
var languages = []struct{ name, message, function string }{
	{"C", "unreachable at explode (explode.c:L)\n\tat explode (explode.c:L)\n\tat run (explode.c:40)", "explode"},
	{"Rust", "panic: the stock is -§ (src/lib.rs:L:5)\nunreachable at handler::explode (src/lib.rs:L)\n\tat handler::explode (src/lib.rs:L)\n" +
		"thread 'main' panicked at src/lib.rs:L:5:\nthe stock is -§", "handler::explode"},
	{"Go", "panic: no order ord_§ (hello/main.go:L)\nit exited with code 2\npanic: no order ord_§\n\ngoroutine 1 [running]:\n" +
		"strings.Repeat({0x§, 0x1}, 0xff)\n\tstrings/strings.go:628 +0xbc\nmain.handle()\n\texample.com/hello/main.go:L +0x9§\n", "main.handle"},
	{"Zig", "panic: index out of bounds: index §, len 2 (src/main.zig:L:9)\nit exited with code 1\nthread 1 panic: index out of bounds: index §, len 2\n" +
		"/usr/lib/zig/lib/std/debug.zig:1:2: 0x1 in panic (main)\nsrc/main.zig:L:9: 0x1f§ in handle (main)\n", "handle"},
	{"Python", "KeyError: 'total §' (handler.py:L)\nunreachable at mp_raise\n\tat mp_raise\nTraceback (most recent call last):\n" +
		"  File \"handler.py\", line 90, in handle\n    check(order)\n  File \"handler.py\", line L, in check\n    total = order[\"total\"]\nKeyError: 'total §'", "check"},
	{"JavaScript", "Uncaught TypeError: order § (handler.js:L:7)\nit exited with code 1\nUncaught TypeError: order §\n    at JSON.parse (native)\n" +
		"    at async price (handler.js:L:7)\n    at handler.js:90:1\n", "price"},
	{"Java", "java.lang.IllegalStateException: the stock is -§ (Handler.java:L)\nunreachable at teavm_throw\n\tat teavm_throw\n" +
		"Exception in thread \"main\" java.lang.IllegalStateException: the stock is -§\n\tat shop.Handler.explode(Handler.java:L)\n\tat shop.Handler.handle()\n", "shop.Handler.explode"},
	{"AssemblyScript", "abort: the stock is -§ (explode.ts:L:5)\n\tat explode/sell (explode.ts:L)\n\tat explode/run (explode.ts)", "explode/sell"},
	{"a reason", "the order 01a22dc9-da17-70e1-b33b-69e87f51§ has no customer \"C-§\"", ""},
}

// TestCausesOfAllLanguagesAreGrouped: the failures of one cause are one issue in every
// language, also when events, versions and lines differ.
func TestCausesOfAllLanguagesAreGrouped(t *testing.T) {
	store := bus.NewMemory(bus.MemoryConfig{})
	defer store.Close()
	tracker, err := Issues(t.Context(), store, false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ev, err := event.New(event.Draft{Type: "t"})
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range languages {
		for n := range 5 {
			message := strings.NewReplacer("§", fmt.Sprint(1000+n), "L", fmt.Sprint(10+n/2)).Replace(l.message)
			tracker.Failed(event.Record{Seq: 1, Event: ev}, event.Delivery{Handler: l.name, ErrorClass: event.ClassTrap, ErrorMessage: message,
				At: time.Unix(int64(i), 0)}, "", "")
		}
		list, err := tracker.List(spec.IssueQuery{Handler: l.name})
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Items) != 1 || list.Items[0].Count != 5 {
			t.Errorf("%s: %d issues: %+v", l.name, len(list.Items), list.Items)
			continue
		}
		switch f := list.Items[0].Frame; {
		case l.function == "" && f != nil, l.function != "" && (f == nil || f.Function != l.function):
			t.Errorf("%s: the frame is %+v, want %s", l.name, f, l.function)
		}
	}
}

func TestOperationsGiveWhatThePluginTakes(t *testing.T) {
	table, err := route.New([]spec.Route{{Pattern: "order_*", When: "has(data.total)"}})
	if err != nil {
		t.Fatal(err)
	}
	o := Operations{Issues: &issues.Tracker{}, Table: func() *route.Table { return table },
		Manifest: func(plugin string) (abi.Manifest, bool) {
			return abi.Manifest{Subscribes: []abi.Subscription{{EventType: "order_placed"}}}, plugin == "a"
		}}
	if _, err := o.filter("b"); !fault.Is(err, fault.Conflict) {
		t.Errorf("a plugin whose file is missing: %v", err)
	}
	takes, err := o.filter("a")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		typ, data, only string
		want            bool
	}{
		{"order_placed", `{"total":1}`, "", true}, {"order_placed", `{"total":1}`, "a", true}, {"order_placed", `{"total":1}`, "b", false},
		{"order_placed", `{}`, "", false}, {"order_shipped", `{"total":1}`, "", false}, {"stock", `{"total":1}`, "", false},
	} {
		ev, err := event.New(event.Draft{Type: tt.typ, Data: []byte(tt.data)})
		if err != nil {
			t.Fatal(err)
		}
		if got := takes(ev.WithOrigin(event.Origin{Only: tt.only})); got != tt.want {
			t.Errorf("%+v: got %v", tt, got)
		}
	}
}
