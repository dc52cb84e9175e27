package spec_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/spec"
)

// module is a module of one custom section.
func module(section, text string) string {
	body := string(rune(len(section))) + section + text
	return "\x00asm\x01\x00\x00\x00\x00" + string(rune(len(body))) + body
}

func TestArtifact(t *testing.T) {
	for name, tt := range map[string]struct {
		wasm, section, plugin string
		inside                bool
		whole                 error
		text                  string // of the error
	}{
		"empty":             {whole: abi.ErrNotModule, text: "not a WebAssembly module"},
		"cut off":           {wasm: "\x00asm\x01\x00\x00\x00\x00\x09\x01a", whole: abi.ErrSection, text: "a damaged module"},
		"no manifest":       {wasm: module("name", "x")},
		"manifest":          {wasm: module(abi.ManifestSection, `{"name":"x"}`), section: `{"name":"x"}`, plugin: "x", inside: true},
		"damaged manifest":  {wasm: module(abi.ManifestSection, `{"name":`), section: `{"name":`, inside: true, text: "section " + abi.ManifestSection + ": "},
		"nameless manifest": {wasm: module(abi.ManifestSection, `{}`), section: `{}`, inside: true},
	} {
		t.Run(name, func(t *testing.T) {
			collected := spec.NewCollector()
			for _, part := range []string{tt.wasm[:len(tt.wasm)/2], tt.wasm[len(tt.wasm)/2:]} {
				if n, err := collected.Write([]byte(part)); n != len(part) || err != nil {
					t.Fatal(n, err)
				}
			}
			sum := sha256.Sum256([]byte(tt.wasm))
			if got := collected.SHA256(); got != hex.EncodeToString(sum[:]) || collected.Len() != len(tt.wasm) {
				t.Errorf("%d bytes with the digest %s", collected.Len(), got)
			}
			for _, a := range []spec.Artifact{spec.NewArtifact([]byte(tt.wasm)), collected.Artifact()} {
				if string(a.Wasm()) != tt.wasm || a.Size() != len(tt.wasm) || a.SHA256() != hex.EncodeToString(sum[:]) {
					t.Errorf("%d bytes with the digest %s", a.Size(), a.SHA256())
				}
				m, inside, err := a.Manifest()
				if string(a.Section()) != tt.section || m.Name != tt.plugin || inside != tt.inside || !errors.Is(a.Whole(), tt.whole) {
					t.Errorf("%q, %+v, %v, %v", a.Section(), m, inside, a.Whole())
				}
				if (err == nil) != (tt.text == "") || err != nil && !strings.Contains(err.Error(), tt.text) {
					t.Errorf("got %v, want %q", err, tt.text)
				}
			}
		})
	}
}

func TestCollectorReset(t *testing.T) {
	c := spec.NewCollector()
	_, _ = c.Write([]byte("before"))
	c.Reset()
	_, _ = c.Write([]byte("after"))
	if a := c.Artifact(); string(a.Wasm()) != "after" || a.SHA256() != spec.NewArtifact([]byte("after")).SHA256() {
		t.Errorf("%q with the digest %s", a.Wasm(), a.SHA256())
	}
}
