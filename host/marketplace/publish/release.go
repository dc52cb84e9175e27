package publish

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"syscall"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/marketplace/format"
)

// Draft is the input of a release.
type Draft struct {
	Publisher string
	Module    []byte
	Manifest  []byte    // for a module that has none inside; nil: none
	Name      string    // for a manifest that names none; "" : as it says
	Version   string    // for a manifest that has none; "": as it says
	Released  time.Time // in whole seconds
}

// Bundle is a signed release, ready to be added to a tree.
type Bundle struct {
	Release   format.Release
	Text      []byte // release.json
	Signature []byte // release.json.minisig
	Module    []byte
}

// Make makes a release and signs it. A module without a manifest inside gets the draft's,
// so that one signed file contains everything to install. fault.Invalid names the place
// and the reason.
func Make(d Draft, by format.Signer) (Bundle, error) {
	if err := format.CheckName("publisher", d.Publisher); err != nil {
		return Bundle{}, invalid(err)
	}
	module, manifest, err := complete(d)
	if err != nil {
		return Bundle{}, err
	}
	file := format.FileOf(module)
	if file.Size > format.MaxBlob {
		return Bundle{}, fault.New(fault.Invalid, "the module: %d bytes are over the limit of %d", file.Size, int64(format.MaxBlob))
	}
	b := Bundle{Module: module, Release: format.Release{
		Publisher: d.Publisher, Name: manifest.Name, Version: manifest.Version, SHA256: file.SHA256, Size: file.Size,
		ABI: format.ABI, Capabilities: manifest.Capabilities, Released: d.Released.UTC().Truncate(time.Second),
	}}
	if b.Text, err = b.Release.Encode(); err != nil {
		return Bundle{}, err
	}
	if b.Release, err = format.ParseRelease(b.Text); err != nil {
		return Bundle{}, invalid(err)
	}
	b.Signature = by.Sign(b.Text, "berth release "+b.Release.Reference())
	return b, nil
}

func invalid(err error) error { return fault.New(fault.Invalid, "%w", err) }

// complete returns the module with its manifest inside.
func complete(d Draft) ([]byte, abi.Manifest, error) {
	manifest, inside, err := manifestOf(d.Module)
	if err != nil {
		return nil, abi.Manifest{}, err
	}
	if inside && d.Manifest != nil {
		return nil, abi.Manifest{}, fault.New(fault.Invalid, "the module has a manifest inside, and another one is given: leave that out")
	}
	if d.Manifest != nil {
		if manifest, err = abi.ParseManifest(d.Manifest); err != nil {
			return nil, abi.Manifest{}, fault.New(fault.Invalid, "the manifest beside the module: %w", err)
		}
	}
	for _, f := range []struct {
		key, given string
		own        *string
	}{{"name", d.Name, &manifest.Name}, {"version", d.Version, &manifest.Version}} {
		switch {
		case *f.own == "" && f.given == "":
			return nil, abi.Manifest{}, fault.New(fault.Invalid,
				"the manifest has no %s: say it there, or in --%s for a module without a manifest inside", f.key, f.key)
		case f.given == "" || f.given == *f.own:
		case inside || *f.own != "":
			return nil, abi.Manifest{}, fault.New(fault.Invalid, "the manifest says %s %q, not %q: change it there", f.key, *f.own, f.given)
		default:
			*f.own = f.given
		}
	}
	if inside {
		return d.Module, manifest, nil
	}
	if err := manifest.Validate(); err != nil {
		return nil, abi.Manifest{}, fault.New(fault.Invalid, "the manifest: %w", err)
	}
	text, err := json.Marshal(manifest)
	if err != nil {
		return nil, abi.Manifest{}, err
	}
	if _, err := abi.ParseManifest(text); err != nil {
		return nil, abi.Manifest{}, fault.New(fault.Invalid, "the manifest: %w", err)
	}
	module, err := abi.PutSection(d.Module, abi.ManifestSection, text)
	return module, manifest, err
}

// manifestOf returns the manifest inside a module.
func manifestOf(module []byte) (abi.Manifest, bool, error) {
	section, inside, err := abi.FindSection(module, abi.ManifestSection)
	if err != nil {
		return abi.Manifest{}, false, fault.New(fault.Invalid, "the module: %w", err)
	}
	if !inside {
		return abi.Manifest{}, false, nil
	}
	m, err := abi.ParseManifest(section)
	if err != nil {
		return abi.Manifest{}, true, fault.New(fault.Invalid, "the module: section %s: %w", abi.ManifestSection, err)
	}
	return m, true, nil
}

// Check verifies a bundle: its signature by one of the keys, and that the release, the
// module and the module's manifest agree.
func (b Bundle) Check(keys ...format.Key) (format.Key, abi.Manifest, error) {
	key, err := format.Verify("release.json", b.Text, b.Signature, keys)
	if err != nil {
		return format.Key{}, abi.Manifest{}, err
	}
	m, err := fits(b.Release, b.Module)
	return key, m, err
}

// fits checks a module against its release.
func fits(r format.Release, module []byte) (abi.Manifest, error) {
	path := format.BlobPath(r.SHA256)
	if err := (format.File{SHA256: r.SHA256, Size: r.Size}).Check(path, module); err != nil {
		return abi.Manifest{}, err
	}
	m, inside, err := manifestOf(module)
	switch {
	case err != nil:
		return abi.Manifest{}, format.Refuse(format.BadModule, "%s: %v", path, err)
	case !inside:
		return abi.Manifest{}, format.Refuse(format.BadModule, "%s: the module has no manifest inside", path)
	case m.Name != r.Name || m.Version != r.Version:
		return abi.Manifest{}, format.Refuse(format.Mismatch, "%s: the module's manifest is of %s %s, its release of %s %s", path,
			m.Name, m.Version, r.Name, r.Version)
	case len(m.Capabilities)+len(r.Capabilities) > 0 && !reflect.DeepEqual(m.Capabilities, r.Capabilities):
		return abi.Manifest{}, format.Refuse(format.Mismatch, "%s: the module's manifest asks for other capabilities than its release",
			path)
	}
	return m, nil
}

// The files of a bundle in its directory.
const (
	releaseFile = "release.json"
	moduleFile  = "module.wasm"
)

// Write writes the bundle into a directory, which it creates.
func (b Bundle) Write(dir string) error {
	t, err := Open(dir, true)
	if err != nil {
		return err
	}
	defer t.Close()
	for _, f := range []struct {
		name    string
		content []byte
	}{{moduleFile, b.Module}, {releaseFile + format.SigSuffix, b.Signature}, {releaseFile, b.Text}} {
		if err := t.write(f.name, f.content); err != nil {
			return err
		}
	}
	return nil
}

// ReadBundle reads a bundle that Write has written; fault.NotFound if it is missing.
func ReadBundle(dir string) (Bundle, error) {
	t, err := Open(dir, false)
	if err != nil {
		return Bundle{}, err
	}
	defer t.Close()
	var b Bundle
	for _, f := range []struct {
		name  string
		limit int64
		to    *[]byte
	}{{releaseFile, format.MaxRelease, &b.Text}, {releaseFile + format.SigSuffix, format.MaxSignature, &b.Signature}, {moduleFile,
		format.MaxBlob, &b.Module}} {
		if *f.to, err = t.read(f.name, f.limit); err != nil {
			return Bundle{}, err
		}
	}
	b.Release, err = format.ParseRelease(b.Text)
	return b, err
}

// ReadFile reads a regular file of at most limit bytes. It follows links, and does not
// block on a pipe.
func ReadFile(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, asFault(err)
	}
	defer f.Close()
	return readAll(f, path, limit)
}

func readAll(f *os.File, path string, limit int64) ([]byte, error) {
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, asFault(err)
	case !info.Mode().IsRegular():
		return nil, fault.New(fault.Invalid, "%s: is not a regular file", path)
	case info.Size() > limit:
		return nil, format.RefuseAs(fault.Invalid, format.TooLarge, "%s: %d bytes are over the limit of %d", path, info.Size(), limit)
	}
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = fault.New(fault.Invalid, "%s: is growing while it is read", path)
	}
	return content, asFault(err)
}

// asFault adds a code to an error of the file system.
func asFault(err error) error {
	var f *fault.Error
	switch {
	case err == nil || errors.As(err, &f):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.NotFound, "%w", err)
	case fault.Full(err):
		return fault.New(fault.Exhausted, "the disk is full: %w", err)
	}
	return fault.New(fault.Unavailable, "%w", err)
}

// DefaultBundle returns the default directory of a release's bundle.
func DefaultBundle(r format.Release) string {
	return filepath.Clean(fmt.Sprintf("%s-%s", r.Name, r.Version))
}
