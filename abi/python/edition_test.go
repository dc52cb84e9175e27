package python

import (
	"bytes"
	"testing"
)

// TestSecondEditionIsImportedByHandlersThatUseIt: a host of the first edition refuses the
// imports of the second.
func TestSecondEditionIsImportedByHandlersThatUseIt(t *testing.T) {
	for source, want := range map[string]bool{
		"def handle(event): return {}.keys()":               false,
		"def handle(event): return event.traceparent":       false,
		"def handle(event): return list(berth.kv.scan(''))": true,
		"from berth import trace":                           true,
		"kv.expire('a', 1)":                                 true,
	} {
		module, err := Module([]File{{"handler.py", source}})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"kv_list", "kv_expire", "trace"} {
			if got := bytes.Contains(module[:4096], importNames(name)); got != want {
				t.Errorf("%q: imports %s: %v, want %v", source, name, got, want)
			}
		}
		if got := bytes.Contains(module, []byte("_second_edition = True")); got != want {
			t.Errorf("%q: the SDK has the second edition: %v, want %v", source, got, want)
		}
	}
	if _, err := withoutSecondEdition([]byte("\x00asm\x01\x00\x00\x00\x02\xff")); err == nil {
		t.Error("an engine without imports has no error")
	}
}
