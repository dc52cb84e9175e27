// Command mutate measures how many faults the tests detect. It changes one operator,
// constant, condition, result or statement of a package at a time, runs the
// tests of that package, and prints the changes that no test detects.
//
// The tree is not changed: a mutant is compiled with -overlay. The mutants are
// a sample that depends on the seed, the package and its sources only, so a
// run is repeated with the same flags. It is no part of CI.
//
//	go run ./.ci/mutate [-seed 1] [-n 18] [-jobs 2] ./host/auth ...
//	go run ./.ci/mutate -at host/auth/verifier.go:57
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	seed := flag.Uint64("seed", 1, "choose another sample")
	n := flag.Int("n", 18, "mutants for each package; 0 means all")
	jobs := flag.Int("jobs", min(2, runtime.NumCPU()), "mutants under test at the same time")
	at := flag.String("at", "", "all mutants of one `FILE:LINE`, in place of a sample")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r := run{seed: *seed, n: *n, jobs: max(1, *jobs), at: *at, out: os.Stdout}
	patterns := flag.Args()
	if *at != "" {
		patterns = []string{"./" + filepath.Dir(*at)}
	}
	if err := r.all(ctx, patterns); err != nil {
		stop()
		fmt.Fprintf(os.Stderr, "mutate: %v\n", err)
		os.Exit(1)
	}
}

// run is one call of the program.
type run struct {
	seed uint64
	n    int
	jobs int
	at   string
	out  io.Writer
	dir  string // a temporary directory, removed at the end
}

// tally counts the mutants of a package, or of all.
type tally struct{ mutants, compiled, killed, timedOut int }

func (t *tally) add(u tally) {
	t.mutants += u.mutants
	t.compiled += u.compiled
	t.killed += u.killed
	t.timedOut += u.timedOut
}

func (t tally) String() string {
	rate := 0.0
	if t.compiled > 0 {
		rate = 100 * float64(t.killed) / float64(t.compiled)
	}
	return fmt.Sprintf("%4d mutants %4d compiled %4d killed (%d by timeout) %4d survived %5.1f %%",
		t.mutants, t.compiled, t.killed, t.timedOut, t.compiled-t.killed, rate)
}

func (r *run) all(ctx context.Context, patterns []string) error {
	if len(patterns) == 0 {
		return errors.New("name the packages, such as ./host/auth")
	}
	var err error
	if r.dir, err = os.MkdirTemp("", "mutate-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.dir)
	pkgs, err := list(ctx, patterns)
	if err != nil {
		return err
	}
	before := status(ctx)
	fmt.Fprintf(r.out, "seed %d, at most %d mutants for each of %d packages, %d at a time\n", r.seed, r.n, len(pkgs), r.jobs)
	var total tally
	var failed []string
	for _, p := range pkgs {
		t, err := r.pkg(ctx, p)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			fmt.Fprintf(r.out, "%-28s %v\n", p.short(), err)
			failed = append(failed, p.short())
			continue
		}
		total.add(t)
	}
	fmt.Fprintf(r.out, "%-28s %v\n", "total, seed "+fmt.Sprint(r.seed), total)
	if after := status(ctx); after != before {
		fmt.Fprintf(r.out, "the tests of mutants left files in the tree:\n%s", after)
	}
	if len(failed) > 0 {
		return fmt.Errorf("not measured: %s", strings.Join(failed, ", "))
	}
	return nil
}

// pkg measures one package: it lists its mutants, takes a sample of those that
// type-check, times the tests of the unchanged package, and tests each mutant.
func (r *run) pkg(ctx context.Context, p pkg) (tally, error) {
	c, err := newChecker(ctx, p)
	if err != nil {
		return tally{}, err
	}
	sample := c.sample(r.seed, r.n, r.at)
	bound, err := r.timeout(ctx, p)
	if err != nil {
		return tally{}, err
	}
	results := make([]outcome, len(sample))
	work := make(chan int)
	var wg sync.WaitGroup
	for range r.jobs {
		wg.Go(func() {
			for i := range work {
				results[i] = r.test(ctx, p, sample[i], bound)
			}
		})
	}
	for i := range sample {
		work <- i
	}
	close(work)
	wg.Wait()
	t := tally{mutants: len(c.mutants)}
	for _, o := range results {
		switch o {
		case survived:
			t.compiled++
		case killed:
			t.compiled++
			t.killed++
		case timedOut:
			t.compiled++
			t.killed++
			t.timedOut++
		}
	}
	fmt.Fprintf(r.out, "%-28s %v\n", p.short(), t)
	for i, o := range results {
		if o == survived {
			fmt.Fprint(r.out, sample[i].diff())
		}
	}
	return t, nil
}

type outcome int

const (
	broken outcome = iota // it does not compile or link
	killed
	timedOut
	survived
)

// timeout runs the tests of the unchanged package and returns how long those of a mutant may take.
func (r *run) timeout(ctx context.Context, p pkg) (time.Duration, error) {
	bin := filepath.Join(r.dir, "unchanged")
	if out, err := r.build(ctx, p, bin, ""); err != nil {
		return 0, fmt.Errorf("the unchanged package does not build: %w\n%s", err, out)
	}
	begin := time.Now()
	out, err := r.exec(ctx, p, bin, 10*time.Minute)
	if err != nil {
		return 0, fmt.Errorf("the tests of the unchanged package fail: %w\n%s", err, tail(out))
	}
	return 3*time.Since(begin) + 15*time.Second, nil
}

func (r *run) test(ctx context.Context, p pkg, m mutant, bound time.Duration) outcome {
	dir, err := os.MkdirTemp(r.dir, "mutant-")
	if err != nil || ctx.Err() != nil {
		return broken
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, filepath.Base(m.file))
	overlay, _ := json.Marshal(map[string]any{"Replace": map[string]string{m.file: file}})
	if os.WriteFile(file, m.apply(), 0o600) != nil || os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600) != nil {
		return broken
	}
	bin := filepath.Join(dir, "test")
	if _, err := r.build(ctx, p, bin, filepath.Join(dir, "overlay.json")); err != nil {
		return broken
	}
	_, err = r.exec(ctx, p, bin, bound)
	switch {
	case err == nil:
		return survived
	case errors.Is(err, context.DeadlineExceeded):
		return timedOut
	}
	return killed
}

func (r *run) build(ctx context.Context, p pkg, bin, overlay string) ([]byte, error) {
	args := []string{"test", "-c", "-vet=off", "-o", bin}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, p.ImportPath)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	return cmd.CombinedOutput()
}

// exec runs a test binary in a session of its own, bounded in time and memory,
// and ends every process of that session afterwards.
func (r *run) exec(ctx context.Context, p pkg, bin string, bound time.Duration) ([]byte, error) {
	tmp, err := os.MkdirTemp(r.dir, "t")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	args := []string{"-test.failfast", "-test.short", "-test.timeout=0"}
	if p.rapid {
		args = append(args, "-rapid.nofailfile")
	}
	out, err := os.Create(filepath.Join(tmp, "output"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(bin, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.Dir, out, out
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	err = watch(ctx, cmd.Process.Pid, done)
	text, _ := os.ReadFile(out.Name())
	return text, err
}

func tail(b []byte) []byte { return b[max(0, len(b)-2000):] }

// pkg is a package as `go list` describes it.
type pkg struct {
	ImportPath, Dir string
	GoFiles         []string
	Deps            []string
	TestImports     []string
	XTestImports    []string
	Module          struct{ Path string }
	rapid           bool
}

func (p pkg) short() string { return strings.TrimPrefix(p.ImportPath, p.Module.Path+"/") }

func list(ctx context.Context, patterns []string) ([]pkg, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-json"}, patterns...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w", strings.Join(patterns, " "), err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bufio.NewReader(strings.NewReader(string(out)))); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			return pkgs, nil
		} else if err != nil {
			return nil, err
		}
		p.rapid = slices.Contains(p.TestImports, "pgregory.net/rapid") || slices.Contains(p.XTestImports, "pgregory.net/rapid")
		pkgs = append(pkgs, p)
	}
}

// status returns the output of git status.
func status(ctx context.Context) string {
	out, _ := exec.CommandContext(ctx, "git", "status", "--porcelain").Output()
	return string(out)
}
