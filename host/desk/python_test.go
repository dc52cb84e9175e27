package desk_test

import (
	"strings"
	"testing"

	"github.com/berth-host/berth/abi/python"
	"github.com/berth-host/berth/host/desk"
)

// pythonHandler has a function for each test.
const pythonHandler = `import berth
import prices
from prices import RATE


def handle(event):
    return globals()[event.field("/data/op")](event)


def files(event):
    return [RATE, prices.twice(4)]


def escapes(event):
    return event.data["text"]


def texts(event):
    return [event.json("/data/a"), event.json("/data/b"), event.json("/data/c/0"), event.json("/data/d"), event.json("/data/e", "none")]


def raws(event):
    return berth.Json("[" + ",".join([event.raw("/data/" + name) for name in "abcd"]) + "]")


def defaults(event):
    return [event.field("/data/x", None), event.int("/data/x", 7), event.bool("/data/x", True)]


def garbage(event):
    # Each of these builds its result in C from objects that nothing else refers to.
    total = 0
    for i in range(40):
        pieces = [str(k) + "x" for k in range(200)]
        total += len("".join(sorted(pieces, key=lambda p: p + "y")))
        total += len([{"n": [k, str(k)]} for k in range(100)])
        total += sum(int(p[:-1]) for p in reversed(pieces))
    return total


def depth(event):
    def down(n):
        return n and 1 + down(n - 1)

    try:
        return down(100000)
    except RuntimeError as error:
        return [down(100), str(error)]


def chance(event):
    import random

    return 0 <= random.random() < 1


def finished(event):
    event.finish("[1]")
    return [2]


def refused(event):
    return float("inf")


def explode(event):
    raise ValueError("the stock is -3")


def denied(event):
    berth.kv.get("k")


def missing(event):
    import nosuch
`

const pythonPrices = `import berth

RATE = 3


def twice(n):
    berth.log.info("twice")
    return 2 * n
`

// TestPython tests what the interpreter and the SDK of Python do beyond the conformance
// kit, on a module that is built here.
func TestPython(t *testing.T) {
	wasm, err := python.Module([]python.File{{Name: "handler.py", Source: pythonHandler}, {Name: "prices.py", Source: pythonPrices}})
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct{ name, data, want string }{
		{"another file", `{"op":"files"}`, `[3,8]`},
		{"escaped pairs", `{"op":"escapes","text":"\ud83d\ude00 \\ud83d \ud83d \u00e9"}`, `"😀 \\ud83d ` + "\ufffd" + ` é"`},
		{"texts like other values", `{"op":"texts","a":"7","b":"{\"x\":1}","c":["[1]"],"d":[]}`, `["7","{\"x\":1}","[1]",[],"none"]`},
		{"values as they are", `{"op":"raws","a":"7","b":{"x":1.50},"c":-0,"d":"null"}`, `["7",{"x":1.50},-0,"null"]`},
		{"defaults", `{"op":"defaults"}`, `[null,7,true]`},
		{"garbage collections within calls", `{"op":"garbage"}`, "827600"},
		{"calls that nest too deep", `{"op":"depth"}`, `[100,"maximum recursion depth exceeded"]`},
		{"random", `{"op":"chance"}`, "true"},
		{"finished by hand", `{"op":"finished"}`, "[1]"},
		{"a refused result", `{"op":"refused"}`, "INVALID"},
		{"an exception", `{"op":"explode"}`, "ValueError: the stock is -3 (handler.py:67)"},
		{"a capability that is not granted", `{"op":"denied"}`, "Error: DENIED"},
		{"a module that is not there", `{"op":"missing"}`, "ImportError: no module named 'nosuch' (handler.py:75)"},
	}
	s := start(t, load(t, wasm, ""), desk.Setup{Start: desk.FirstTime()})
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			d := run(t, s, 1, `{"event_type":"test","data":`+tt.data+`}`)[0].Last()
			if d.Status == desk.StatusOK {
				if !sameJSON(string(d.Result), tt.want) {
					t.Errorf("got %.300s, want %s", d.Result, tt.want)
				}
				return
			}
			if !strings.Contains(d.Message, tt.want) || strings.Contains(d.Message, `File "berth.py"`) && strings.Contains(tt.want, "handler.py") {
				t.Errorf("got %s %s, want %s", d.Status, d.Message, tt.want)
			}
		})
	}
}
