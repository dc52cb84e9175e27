package folder

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/plugin/schema"
	"github.com/berth-host/berth/host/spec"
)

// Identity is the plugin that a module's file holds. Either SHA256 is set, or Refusal,
// or Incomplete.
type Identity struct {
	SHA256     string
	Manifest   abi.Manifest   // of the sidecar, otherwise of the module; with a name
	Schema     *schema.Schema // of the manifest's config_schema, or nil
	Refusal    string         // the file must change before it can be loaded
	Incomplete string         // the contents may be a part of a module or a manifest
}

// Identify returns the plugin that a file's contents are.
func Identify(path string, c Content) Identity {
	c.SidecarText = abi.TrimBOM(c.SidecarText)
	switch err := c.Whole(); {
	case err == nil:
	case err == abi.ErrSection, err == abi.ErrNotModule && beginsModule(c.Wasm()):
		return Identity{Incomplete: fmt.Sprintf("the file is incomplete: its %d bytes end inside the module", c.Size())}
	default:
		return Identity{Refusal: err.Error()}
	}
	manifest, _, err := c.Artifact.Manifest()
	switch {
	case c.SidecarText != nil && !json.Valid(c.SidecarText):
		// A partial copy is not valid either. If it stays so, this is the refusal.
		_, err := abi.ParseManifest(c.SidecarText)
		return Identity{Incomplete: fmt.Sprintf("%s: %v", Sidecar(path), err)}
	case c.SidecarText != nil:
		if manifest, err = abi.ParseManifest(c.SidecarText); err != nil {
			return Identity{Refusal: fmt.Sprintf("%s: %v", Sidecar(path), err)}
		}
	case err != nil:
		return Identity{Refusal: err.Error()}
	}
	if manifest.Name == "" {
		manifest.Name = NameOf(path)
		if err := abi.CheckName(manifest.Name); err != nil {
			return Identity{Refusal: fmt.Sprintf("the file gives no name: %v; rename it or add a manifest", err)}
		}
	}
	f := Identity{SHA256: c.SHA256(), Manifest: manifest}
	if manifest.ConfigSchema != nil {
		if f.Schema, err = schema.Compile(manifest.ConfigSchema); err != nil {
			return Identity{Refusal: fmt.Sprintf("its manifest's config_schema: %v", err)}
		}
	}
	return f
}

// beginsModule reports whether the bytes may be the beginning of a module: a part of the
// header, or zeros that reserve disk space.
func beginsModule(b []byte) bool {
	const header = "\x00asm\x01\x00\x00\x00"
	head := string(b[:min(len(b), len(header))])
	return len(b) < len(header) && strings.HasPrefix(header, head) || strings.Trim(head, "\x00") == ""
}

// NameOf derives a plugin's name from the name of its file. The result may be invalid.
func NameOf(path string) string {
	name := strings.TrimSuffix(filepath.Base(path), ".wasm")
	return strings.ReplaceAll(strings.ToLower(name), "_", "-")
}

// Named returns the name of the plugin that a module and its sidecar, nil for none,
// would be in a file of the given path. The error says why a host would refuse the
// file; the code is not vetted.
func Named(path string, wasm, sidecar []byte) (string, error) {
	i := Identify(path, Content{Artifact: spec.NewArtifact(wasm), SidecarText: sidecar})
	if text := i.Refusal + i.Incomplete; text != "" {
		return "", errors.New(text)
	}
	return i.Manifest.Name, nil
}
