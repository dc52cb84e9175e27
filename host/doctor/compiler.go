package doctor

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pathguard"
	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/spec"
)

// smallest is the smallest guest: a memory and a _start that returns.
//
//go:embed smallest.wasm
var smallest []byte

// compiler vets the smallest guest like a plugin: in a child process that compiles it
// for this machine's processor.
func (e Examination) compiler(ctx context.Context, limits config.Vet) Finding {
	const check = "compiler"
	fail := func(err error) Finding {
		remedy := "berth needs amd64 with SSE4.1 or arm64, and must be able to start itself as a child process; plugins cannot run otherwise"
		switch {
		case fault.Is(err, fault.Denied):
			remedy = "see the data directory above: modules are compiled there, and only this user may write to it"
		case fault.Full(err), strings.Contains(err.Error(), syscall.ENOSPC.Error()): // the child's error is a text
			remedy = "free some space on the disk of the data directory: modules are compiled there"
		}
		return Bad(check, err.Error(), remedy)
	}
	at := e.DataDir // where a host compiles, if it exists
	if info, err := os.Stat(at); err != nil || pathguard.Owner(at, info) != nil {
		at = "" // root examines another user's host, which compiles as that user
	}
	dir, err := os.MkdirTemp(at, ".berth-doctor-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	vetter, err := vet.New(vet.Config{CacheDir: dir, Version: e.Version, Memory: limits.Memory, CPU: limits.CPU, Wall: limits.Wall})
	if err != nil {
		return fail(err)
	}
	began := time.Now()
	if _, err := vetter.Vet(ctx, spec.NewArtifact(smallest)); err != nil {
		return fail(err)
	}
	return Good(check, fmt.Sprintf("a module was vetted and compiled in %s", time.Since(began).Round(time.Millisecond)))
}
