package vet

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/berth-host/berth/host/sandbox/prescan"
	"github.com/berth-host/berth/host/sandbox/source"
	"github.com/berth-host/berth/host/spec"
)

// Command is the argument that makes a program the child: berth vet.
const Command = "vet"

// request is the first line of the child's standard input; the module's bytes
// follow it.
type request struct {
	Format  int            `json:"format"`
	Size    int            `json:"size"`   // of the module, bytes
	Memory  int64          `json:"memory"` // bytes, above what the process uses before it reads the module
	CPU     time.Duration  `json:"cpu"`
	Nice    int            `json:"nice"`
	Prescan prescan.Limits `json:"prescan"`

	// Lines, if not nil, is what the child answers instead of vetting. SHA256 is that of the
	// module, in hex; the module is empty if there are no offsets.
	Lines  *source.Query `json:"lines,omitempty"`
	SHA256 string        `json:"sha256,omitempty"`
}

const (
	maxRequest = 256 << 10 // bytes of a request's line

	// format is the version of the request, the Report and the cache's entries.
	format = 1
	// ready is the child's first output, written once its limits are set and the
	// module is read. A death before it is not the module's fault.
	ready = "ready\n"
	// ExitNoVerdict is the exit code of a child that reached no verdict.
	ExitNoVerdict = 3
	exitCPU       = 4 // its CPU time was used up
)

// RunIfChild runs this process as the child and exits, if it was started as one. A
// test binary that vets modules calls it first in TestMain.
func RunIfChild() {
	if len(os.Args) != 2 || os.Args[1] != Command {
		return
	}
	if err := RunChild(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(ExitNoVerdict)
	}
	os.Exit(0)
}

// RunChild vets the module on stdin, or finds its source lines, under the limits named there, which it sets for
// this process permanently, and writes the Report, or the lines, to stdout. When it vets, it
// leaves the metered module and its code in the working directory. After an error the process must exit
// with ExitNoVerdict.
func RunChild(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	in := bufio.NewReaderSize(stdin, maxRequest)
	line, err := in.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("%s is run by the host; to look at a module use: berth plugin inspect FILE", Command)
	}
	var req request
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&req); err != nil {
		return fmt.Errorf("%s is run by the host; to look at a module use: berth plugin inspect FILE: %w", Command, err)
	}
	if req.Format != format || req.Size < 0 || req.Size > req.Prescan.WithDefaults().ModuleBytes {
		return fmt.Errorf("a request of format %d for %d bytes", req.Format, req.Size)
	}
	if err := limitProcess(req); err != nil {
		return fmt.Errorf("limit this process: %w", err)
	}
	wasm := make([]byte, req.Size)
	if _, err := io.ReadFull(in, wasm); err != nil {
		return fmt.Errorf("read the module: %w", err)
	}
	if _, err := io.WriteString(stdout, ready); err != nil {
		return err
	}
	if req.Lines != nil {
		return answerLines(req, wasm, stdout)
	}
	report, _, err := examine(ctx, spec.NewArtifact(wasm), req.Prescan, ".")
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(report)
}
