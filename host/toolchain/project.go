package toolchain

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/berth-host/berth/abi"
)

// ManifestFile is the manifest of a project, in its directory.
const ManifestFile = "manifest.json"

// Project is the directory of a handler.
type Project struct {
	Dir      string // absolute
	Language Language
	Name     string // of the plugin: its manifest's, or the directory's
	Manifest []byte // the contents of ManifestFile without insignificant blanks; nil if there is none
}

// Open examines the project in a directory. lang is the name of its language; "" finds it
// out. A manifest that no host would take is an error.
func Open(dir, lang string) (Project, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Project{}, err
	}
	if info, err := os.Stat(abs); err != nil {
		return Project{}, err
	} else if !info.IsDir() {
		return Project{}, fmt.Errorf("%s is not a directory", dir)
	}
	p := Project{Dir: abs, Name: filepath.Base(abs)}
	if lang != "" {
		p.Language, err = Named(lang)
	} else if p.Language, err = Detect(os.DirFS(abs)); err != nil {
		err = fmt.Errorf("%s: %w", dir, err)
	}
	if err != nil {
		return Project{}, err
	}
	manifest, err := p.readManifest()
	if err != nil {
		return Project{}, fmt.Errorf("%s: %w", filepath.Join(dir, ManifestFile), err)
	}
	if manifest.Name != "" {
		p.Name = manifest.Name
	} else if err := abi.CheckName(p.Name); err != nil {
		return Project{}, fmt.Errorf("%s has no name in its %s, and the directory's cannot be that of a plugin: %w", dir, ManifestFile, err)
	}
	return p, nil
}

// readManifest sets p.Manifest.
func (p *Project) readManifest() (abi.Manifest, error) {
	// Opening a pipe must not wait for its writer.
	f, err := os.OpenFile(filepath.Join(p.Dir, ManifestFile), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return abi.Manifest{}, nil
	}
	if err != nil {
		return abi.Manifest{}, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return abi.Manifest{}, errors.Join(err, errors.New("it is not a regular file"))
	}
	text, err := io.ReadAll(io.LimitReader(f, abi.MaxManifest+1))
	if err != nil {
		return abi.Manifest{}, err
	}
	text = abi.TrimBOM(text)
	manifest, err := abi.ParseManifest(text)
	if err != nil {
		return abi.Manifest{}, err
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return abi.Manifest{}, err
	}
	p.Manifest = compact.Bytes()
	return manifest, nil
}

// Output returns the path of the module unless another one is wanted: NAME.wasm in the
// project's directory.
func (p Project) Output() string { return filepath.Join(p.Dir, p.Name+".wasm") }

// Module is a module that was built.
type Module struct {
	Path   string `json:"path"`
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Bytes  int    `json:"bytes"`
}

// Build builds the project, embeds the manifest, and writes the module to output, which
// keeps its former contents if anything fails. log receives what the tools print. Errors
// are a *MissingError, a *ToolError, that of ctx, and others.
func (p Project) Build(ctx context.Context, output string, log io.Writer) (Module, error) {
	output, err := filepath.Abs(output)
	if err != nil {
		return Module{}, err
	}
	tools, err := p.Language.Find()
	if err != nil {
		return Module{}, err
	}
	temp, err := os.MkdirTemp("", "berth-build-")
	if err != nil {
		return Module{}, err
	}
	defer os.RemoveAll(temp)
	b := &Build{Dir: p.Dir, Name: p.Name, Output: filepath.Join(temp, p.Name+".wasm"), Log: log, tools: tools}
	if err := p.Language.Build(ctx, b); err != nil {
		return Module{}, err
	}
	wasm, err := os.ReadFile(b.Output)
	if errors.Is(err, fs.ErrNotExist) {
		return Module{}, fmt.Errorf("the %s tools have written no module", p.Language.Title)
	}
	if err != nil {
		return Module{}, err
	}
	if wasm, err = Embed(wasm, p.Manifest); err != nil {
		return Module{}, err
	}
	if err := WriteFile(output, wasm); err != nil {
		return Module{}, fmt.Errorf("write the module: %w", err)
	}
	sum := sha256.Sum256(wasm)
	return Module{Path: output, Name: p.Name, SHA256: hex.EncodeToString(sum[:]), Bytes: len(wasm)}, nil
}

// Embed returns the module with this manifest inside, in place of any that it has. Without
// one (nil) it returns the module as it is. Either way a module whose manifest no host would
// take is an error.
func Embed(wasm, manifest []byte) ([]byte, error) {
	if manifest != nil {
		var err error
		if wasm, err = abi.PutSection(wasm, abi.ManifestSection, manifest); err != nil {
			return nil, err
		}
	}
	text, inside, err := abi.FindSection(wasm, abi.ManifestSection)
	if err != nil || !inside {
		return wasm, err
	}
	if _, err := abi.ParseManifest(text); err != nil {
		return nil, fmt.Errorf("section %s: %w", abi.ManifestSection, err)
	}
	return wasm, nil
}
