package folder

import (
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/spec"
)

// FuzzIdentify: every file is refused, incomplete, or has a valid name.
func FuzzIdentify(f *testing.F) {
	for _, wasm := range []string{"", "\x00asm\x01\x00\x00\x00", "\x00asm\x01\x00\x00\x00\x00\x02\x01a", "\x00asm\x0d\x00\x01\x00", "\x00\x00\x00\x00\x00\x00\x00\x00", "#!"} {
		for _, sidecar := range []string{"-", "", "{}", `{"name":"x"}`, `{"name":`} {
			f.Add("/d/My_plugin.wasm", []byte(wasm), []byte(sidecar))
		}
	}
	f.Fuzz(func(t *testing.T, path string, wasm, sidecar []byte) {
		if string(sidecar) == "-" {
			sidecar = nil
		}
		found := Identify(path, Content{Artifact: spec.NewArtifact(wasm), SidecarText: sidecar})
		named := found.SHA256 != ""
		if named == (found.Refusal != "" || found.Incomplete != "") || found.Refusal != "" && found.Incomplete != "" {
			t.Errorf("got %+v", found)
		}
		if named && !abi.ValidName(found.Manifest.Name) {
			t.Errorf("the name is %q", found.Manifest.Name)
		}
	})
}
