package plugin_test

import (
	"testing"

	"github.com/berth-host/berth/host/wire"
)

func TestHotDropReplaceRemove(t *testing.T) {
	w := newWorld(t).run()
	w.write("shop.wasm", versioned("shop", "1.0.0"))
	p := w.waitFor("shop", wire.Active, "1.0.0", "")
	if p.Style != "loop" || len(p.SHA256) != 64 || p.Instances != 1 || p.Lag != 7 || p.Since.IsZero() {
		t.Errorf("got %+v", p)
	}
	w.replace("shop.wasm", versioned("shop", "1.1.0"))
	w.waitFor("shop", wire.Active, "1.1.0", "")
	w.only("shop", "1.1.0")
	w.remove("shop.wasm")
	w.waitGone("shop")
	if n := w.count("shop"); n != 0 {
		t.Errorf("%d versions run", n)
	}
	w.write("shop.wasm", versioned("shop", "1.2.0"))
	w.waitFor("shop", wire.Active, "1.2.0", "")
}
