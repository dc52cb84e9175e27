package oci

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"oras.land/oras-go/v2/registry"

	"github.com/berth-host/berth/host/fault"
)

// FuzzManifest: an accepted module has a digest and a size within bounds, and every
// refusal can be shown to people.
func FuzzManifest(f *testing.F) {
	const sum = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	f.Add([]byte(`{"schemaVersion":2,"config":{"mediaType":"` + configType + `"},"layers":[{"mediaType":"application/wasm","digest":"` + sum + `","size":5}]}`))
	f.Add([]byte(`{"config":{"mediaType":"` + configType + `"},"layers":[{"mediaType":"application/wasm","digest":"sha512:00","size":-1}]}`))
	f.Add([]byte(`{"layers":[{},{}]}`))
	f.Add([]byte(`null`))
	s := &Source{Config{MaxSize: 1000}}
	ref := registry.Reference{Registry: "a.example", Repository: "x", Reference: "1"}
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := s.judge(ref, digest.FromBytes(text), text)
		if err != nil {
			if !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.Exhausted) || strings.ContainsAny(err.Error(), "\x00\x1b\n") {
				t.Errorf("got %q", err)
			}
			return
		}
		if a.Size <= 0 || a.Size > 1000 || len(a.SHA256) != 64 || strings.Trim(a.SHA256, "0123456789abcdef") != "" {
			t.Errorf("took %+v", a)
		}
		if _, err := parse(a.Reference); err != nil {
			t.Errorf("%s: %v", a.Reference, err)
		}
	})
}

// FuzzReference: an accepted reference names a version, and is accepted again.
func FuzzReference(f *testing.F) {
	for _, seed := range []string{"oci://a.example/x:1", "oci://a.example:5000/x/y@sha256:" + strings.Repeat("0", 64), "oci://[::1]/x:1", "oci://u:p@a.example/x:1", "oci://a.example/../x:1", "oci:///x:1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := parse(text)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("got %v", err)
			}
			return
		}
		if ref.Reference == "" || ref.Repository == "" || strings.Contains(ref.Repository, "..") || strings.Contains(ref.Registry, "@") {
			t.Errorf("%q is taken for %+v", text, ref)
		}
		if again, err := parse(Scheme + ref.String()); err != nil || again != ref {
			t.Errorf("%q is read as %+v, then as %+v: %v", text, ref, again, err)
		}
	})
}
