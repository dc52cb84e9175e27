package vet

import (
	"bytes"
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

// Original is a vetted module, as source lines are looked for.
type Original struct {
	Dir    string // of its cache entry
	SHA256 string // hex
}

// Original returns the module of a verdict.
func (v Verdict) Original() Original { return Original{Dir: v.CodeDir, SHA256: v.Report.SHA256} }

// linesCPU bounds the CPU time of a child that finds source lines.
const linesCPU = 2 * time.Second

// Lines answers a query about a module that passed, by a child with the limits of vetting and
// less CPU time. A query with offsets needs a traceable module. ctx should have a deadline.
// An error is fault.Unavailable: the cache entry is gone, or the child failed.
func (v *Vetter) Lines(ctx context.Context, module Original, q source.Query) (a source.Answer, err error) {
	req := v.request(0)
	req.CPU, req.Lines, req.SHA256 = min(req.CPU, linesCPU), &q, module.SHA256
	content := io.Reader(bytes.NewReader(nil))
	if len(q.Offsets) > 0 {
		file, size, err := openOwn(filepath.Join(module.Dir, originalFile))
		if err != nil {
			return a, fault.New(fault.Unavailable, "source lines: %w", err)
		}
		defer file.Close()
		req.Size, content = size, file
	}
	end, err := v.run(ctx, v.entries.dir, req, content, v.cfg.Wall)
	if err != nil {
		return a, err
	}
	if end.exit != 0 {
		first, _, _ := strings.Cut(end.stderr, "\n")
		return a, fault.New(fault.Unavailable, "source lines: the child failed (%v, %v of CPU time): %s", end.state, end.cpu, first)
	}
	if err := json.Unmarshal(end.report, &a); err != nil {
		return source.Answer{}, fault.New(fault.Unavailable, "source lines: the child's answer: %w", err)
	}
	return a, nil
}

// openOwn opens a file that no other user could have changed.
func openOwn(path string) (*os.File, int, error) {
	if err := own(path); err != nil {
		return nil, 0, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return nil, 0, err
	}
	return file, int(info.Size()), nil
}

// answerLines is the child's part of Lines.
func answerLines(req request, module []byte, stdout io.Writer) error {
	if got := digest(module); len(req.Lines.Offsets) > 0 && got != req.SHA256 {
		return fmt.Errorf("the module is damaged: its digest is %s", got)
	}
	answer, err := req.Lines.Answer(module)
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(answer)
}
