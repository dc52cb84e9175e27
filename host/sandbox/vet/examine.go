package vet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/meter"
	"github.com/berth-host/berth/host/sandbox/prescan"
	"github.com/berth-host/berth/host/sandbox/source"
	"github.com/berth-host/berth/host/spec"
)

// examine vets a module in this process. On a hostile module it may take any time and
// memory, or crash. It writes the metered module and its code to dir, unless dir is "".
// A refusal is in the Report; an error means that there is no verdict.
func examine(ctx context.Context, module spec.Artifact, limits prescan.Limits, dir string) (Report, []byte, error) {
	r := newReport(module)
	seen, err := prescan.Scan(module.Wasm(), limits)
	r.scanned(seen, limits, err)
	if r.Error != nil {
		return r, nil, nil
	}
	metered, m, err := meter.Rewrite(module.Wasm(), meter.Config{})
	r.metered(m, err)
	if r.Error != nil {
		return r, nil, nil
	}
	r.Metered = digest(metered)
	code, err := Compile(ctx, metered, dir, r.Traceable)
	if errors.As(err, &r.Error) {
		return r, nil, nil
	}
	if err != nil {
		return r, nil, err
	}
	r.Style, r.Entry = string(code.Shape.Style), code.Shape.Entry
	if m, bad := abi.ParseManifest(r.Manifest); bad == nil {
		if m.Extism.Entry != "" && code.Shape.Style == Extism {
			r.Entry = m.Extism.Entry
		}
		if m.Batch != nil {
			if err := code.Shape.CheckBatch(); err != nil {
				errors.As(err, &r.Error)
				return r, nil, code.Close(ctx)
			}
		}
	}
	if dir != "" {
		err = os.WriteFile(filepath.Join(dir, meteredFile), metered, 0o600)
		if r.Traceable {
			err = errors.Join(err, os.WriteFile(filepath.Join(dir, originalFile), module.Wasm(), 0o600))
		}
	}
	return r, metered, errors.Join(err, code.Close(ctx))
}

func newReport(module spec.Artifact) Report {
	return Report{SHA256: module.SHA256(), Size: module.Size()}
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// InProcess vets in this process, without limits and without a cache. It is for tests
// and benchmarks whose modules are known.
type InProcess struct{}

// Vet vets a module, as Vetter.Vet does.
func (InProcess) Vet(ctx context.Context, module spec.Artifact) (Verdict, error) {
	r, metered, err := examine(ctx, module, prescan.Limits{}, "")
	if err == nil {
		err = r.err()
	}
	return Verdict{Report: r, Metered: metered}, err
}

// Lines knows no lines: there is no cache that has kept the module, and no child.
func (InProcess) Lines(context.Context, Original, source.Query) (source.Answer, error) {
	return source.Answer{}, fault.New(fault.Unavailable, "vetted without a cache")
}

// Forget does nothing.
func (InProcess) Forget(Verdict) error { return nil }
