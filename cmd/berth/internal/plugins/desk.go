package plugins

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/desk"
	"github.com/berth-host/berth/host/pathguard"
	"github.com/berth-host/berth/host/plugin/folder"
	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/spec"
)

// deskVetting is how much processor time the vetting of a module may take.
const deskVetting = 2 * time.Minute

// loaded is a plugin at the desk, with the digest of its module.
type loaded struct {
	*desk.Plugin
	manifest abi.Manifest
	sha256   string
	close    func() error
}

// loadAtDesk vets and loads a module file with the manifest that a host would use.
func (a app) loadAtDesk(ctx context.Context, path string) (_ *loaded, err error) {
	wasm, err := readModule(path)
	if err != nil {
		return nil, err
	}
	sidecar, err := readManifest(folder.Sidecar(path))
	if err != nil {
		return nil, err
	}
	artifact := spec.NewArtifact(wasm)
	identity := folder.Identify(path, folder.Content{Artifact: artifact, SidecarText: sidecar})
	if refusal := identity.Refusal + identity.Incomplete; refusal != "" {
		return nil, fmt.Errorf("%s is refused: %s", path, refusal)
	}
	dir, remove, err := deskCache()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, remove())
		}
	}()
	// The module is the author's own: on a slow machine it may take longer than on a host.
	vetter, err := vet.New(vet.Config{CacheDir: dir, Version: a.Version, CPU: deskVetting, Wall: 2 * deskVetting})
	if err != nil {
		return nil, err
	}
	plugin, err := desk.Load(ctx, desk.Config{Vetter: vetter, Module: artifact, Manifest: identity.Manifest})
	if err != nil {
		return nil, fmt.Errorf("%s is refused: %w", path, err)
	}
	return &loaded{manifest: identity.Manifest, Plugin: plugin, sha256: artifact.SHA256(), close: func() error {
		return errors.Join(plugin.Close(context.WithoutCancel(ctx)), remove())
	}}, nil
}

// deskCache returns the directory of compiled modules: the user's cache, so that a module is
// compiled once, or a temporary one where there is none. remove removes the latter.
func deskCache() (dir string, remove func() error, err error) {
	if caches, err := os.UserCacheDir(); err == nil {
		dir := filepath.Join(caches, "berth")
		if os.MkdirAll(dir, 0o700) == nil && pathguard.Check(dir) == nil {
			return dir, func() error { return nil }, nil
		}
	}
	dir, err = os.MkdirTemp("", "berth-desk-")
	return dir, func() error { return os.RemoveAll(dir) }, err
}
