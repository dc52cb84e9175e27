// Command bench measures Berth against its targets and prints a table.
// Every ratio is from one run, in which the compared measurements alternate. Run it on an
// idle machine.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/berth-host/berth/host/sandbox/vet"
)

func main() {
	vet.RunIfChild()
	guests := flag.String("testdata", "testdata", "the project's testdata directory")
	only := flag.String("only", "", "measure only the part of this name")
	languages := flag.String("languages", "", "measure the handlers DIR/LANGUAGE/typical.wasm and minimum.wasm instead")
	document := flag.String("document", "", "write the table of languages into this document")
	flag.Parse()
	do := func(ctx context.Context) error { return run(ctx, *guests, *only) }
	if *languages != "" {
		do = func(ctx context.Context) error { return runLanguages(ctx, *languages, *document) }
	}
	if err := do(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// result is one line of the table.
type result struct {
	what, unit  string
	got, target float64
	lower       bool   // target is a lower bound
	shown       bool   // there is no target
	why         string // why the target may be missed
}

func (r result) met() bool {
	switch {
	case r.shown:
		return true
	case r.lower:
		return r.got >= r.target
	}
	return r.got <= r.target
}

// bench is the state that the measurements share.
type bench struct {
	testdata string
	work     string // a temporary directory
	results  []result
}

func (b *bench) upperBound(what string, got, target float64, unit string) {
	b.results = append(b.results, result{what: what, got: got, target: target, unit: unit})
}

func (b *bench) lowerBound(what string, got, target float64, unit string) {
	b.results = append(b.results, result{what: what, got: got, target: target, unit: unit, lower: true})
}

// show adds a result without a target, such as what another row is compared with.
func (b *bench) show(what string, got float64, unit string) {
	b.results = append(b.results, result{what: what, got: got, unit: unit, shown: true})
}

// because explains why the last result may miss its target.
func (b *bench) because(why string) { b.results[len(b.results)-1].why = why }

// guest reads a module of testdata.
func (b *bench) guest(path string) ([]byte, error) {
	return os.ReadFile(filepath.Join(b.testdata, path))
}

// build compiles a Go guest.
func (b *bench) build(ctx context.Context, source string, flags ...string) ([]byte, error) {
	out := filepath.Join(b.work, filepath.Base(source)+".wasm")
	args := append([]string{"build", "-trimpath", "-ldflags", "-s -w", "-o", out}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, ".")...)
	cmd.Dir = source // which may be in a module of its own
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build %s: %w: %s", source, err, text)
	}
	return os.ReadFile(out)
}

func run(ctx context.Context, testdata, only string) error {
	work, err := os.MkdirTemp("", "berth-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	b := &bench{testdata: testdata, work: work}
	for _, part := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"metering", b.metering},
		{"bookkeeping", b.bookkeeping},
		{"deadlines", b.deadlines},
		{"garbage collection", b.collection},
		{"starts", b.starts},
		{"memory", b.memory},
		{"flow", b.flow},
		{"kv", b.keyValues},
	} {
		if only != "" && only != part.name {
			continue
		}
		fmt.Fprintf(os.Stderr, "measuring %s…\n", part.name)
		if err := part.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WHAT\tMEASURED\tTARGET\t")
	for _, r := range b.results {
		if r.shown {
			fmt.Fprintf(w, "%s\t%.2f %s\t\t\n", r.what, r.got, r.unit)
			continue
		}
		bound, verdict := "≤", "met"
		if r.lower {
			bound = "≥"
		}
		if !r.met() {
			verdict = "MISSED"
		}
		fmt.Fprintf(w, "%s\t%.2f %s\t%s %g %s\t%s\n", r.what, r.got, r.unit, bound, r.target, r.unit, verdict)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, r := range b.results {
		if !r.met() && r.why != "" {
			fmt.Printf("\n%s: %s\n", r.what, r.why)
		}
	}
	return nil
}

// runLanguages prints the table of languages and, if document is not "", writes it there.
func runLanguages(ctx context.Context, dir, document string) error {
	table, err := new(bench).languages(ctx, dir)
	if err != nil {
		return err
	}
	fmt.Print(table)
	if document == "" {
		return nil
	}
	return writeTable(document, table)
}

func median(xs []float64) float64 {
	s := slices.Sorted(slices.Values(xs))
	if len(s) == 0 {
		return 0
	}
	return s[len(s)/2]
}
