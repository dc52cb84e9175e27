package vet

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/source"
)

// Original is a vetted module whose source lines can be found.
type Original struct {
	Dir    string // of its cache entry
	SHA256 string // hex
}

// Original returns the module of a verdict; ok is false if its source lines cannot be found.
func (v Verdict) Original() (o Original, ok bool) {
	return Original{Dir: v.CodeDir, SHA256: v.Report.SHA256}, v.Report.Traceable && v.CodeDir != ""
}

// linesCPU bounds the CPU time of a child that finds source lines.
const linesCPU = 2 * time.Second

// Lines returns the frames at offsets in a module's metered code, as source.Resolve does, by
// a child with the limits of vetting and less CPU time. ctx should have a deadline. An error
// is fault.Unavailable: the cache entry is gone, or the child failed.
func (v *Vetter) Lines(ctx context.Context, module Original, offsets []uint64) ([][]source.Frame, error) {
	path := filepath.Join(module.Dir, originalFile)
	if err := own(path); err != nil {
		return nil, fault.New(fault.Unavailable, "source lines: %w", err)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "source lines: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fault.New(fault.Unavailable, "source lines: %w", err)
	}
	req := v.request(int(info.Size()))
	req.CPU, req.Offsets, req.SHA256 = min(req.CPU, linesCPU), offsets, module.SHA256
	end, err := v.run(ctx, v.entries.dir, req, file, v.cfg.Wall)
	if err != nil {
		return nil, err
	}
	if end.exit != 0 {
		first, _, _ := strings.Cut(end.stderr, "\n")
		return nil, fault.New(fault.Unavailable, "source lines: the child failed (%v, %v of CPU time): %s", end.state, end.cpu, first)
	}
	var found [][]source.Frame
	if err := json.Unmarshal(end.report, &found); err != nil {
		return nil, fault.New(fault.Unavailable, "source lines: the child's answer: %w", err)
	}
	return found, nil
}

// answerLines is the child's part of Lines.
func answerLines(req request, module []byte, stdout io.Writer) error {
	if got := digest(module); got != req.SHA256 {
		return fmt.Errorf("the module is damaged: its digest is %s", got)
	}
	found, err := source.Resolve(module, req.Offsets)
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(found)
}
