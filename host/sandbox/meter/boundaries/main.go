package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

func main() {
	duration := flag.Duration("for", time.Minute, "how long to compare")
	workers := flag.Int("workers", runtime.GOMAXPROCS(0), "how many modules to compare at once")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "where the random numbers begin")
	objdump := flag.String("objdump", "wasm-objdump", "wabt's wasm-objdump")
	keep := flag.String("keep", os.TempDir(), "directory for modules that the decoders disagree on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *duration, *workers, *seed, *objdump, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "boundaries:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, duration time.Duration, workers int, seed uint64, objdump, keep string) error {
	command, err := exec.LookPath(objdump)
	if err != nil {
		return fmt.Errorf("%w: install wabt (Debian: apt-get install wabt)", err)
	}
	version, err := exec.CommandContext(ctx, command, "--version").Output()
	if err != nil {
		return fmt.Errorf("%s --version: %w", command, err)
	}
	fmt.Printf("wasmbin against wabt %s and the engine; seed %d, %d workers, %v\n", bytes.TrimSpace(version), seed, workers, duration)
	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	var (
		mu        sync.Mutex
		total     counts
		disagreed []error
		group     sync.WaitGroup
	)
	for worker := range workers {
		group.Go(func() {
			c, err := work(ctx, rand.New(rand.NewPCG(seed, uint64(worker))), command, keep)
			mu.Lock()
			defer mu.Unlock()
			total.add(c)
			if err != nil {
				disagreed = append(disagreed, err)
				cancel()
			}
		})
	}
	group.Wait()
	fmt.Printf("%d modules, %d refused by the rewriter; %d inputs read the same by wabt, %d refused by it\n"+
		"%d outputs; %d instructions compared with wabt; %d bytes with the engine, in the %d inputs and outputs it accepts\n"+
		"%d functions and %d loops charged\n"+
		"%d disagreements\n", total.Modules, total.Refused, total.Inputs, total.WabtRefused,
		total.Outputs, total.Instructions, total.Probes, total.Accepted, total.Functions, total.Loops, len(disagreed))
	if len(disagreed) == 0 && total.Loops == 0 {
		return errors.New("nothing was compared")
	}
	return errors.Join(disagreed...)
}

// work compares modules until ctx is done or the decoders disagree on one.
func work(ctx context.Context, random *rand.Rand, command, keep string) (counts, error) {
	dir, err := os.MkdirTemp("", "boundaries")
	if err != nil {
		return counts{}, err
	}
	defer os.RemoveAll(dir)
	background := context.WithoutCancel(ctx) // a module that was begun is compared to its end
	e := newEngine(background)
	defer e.close(background)
	w := wabt{command: command, dir: dir}
	c := &checker{disassemble: w.disassemble, engine: e, maxProbes: 160, choose: random.IntN}
	for ctx.Err() == nil {
		g := &generator{rand: random, pad: random.Float64() * random.Float64()}
		if random.IntN(8) == 0 {
			g.long = 0.05
		}
		wasm := g.module()
		if random.IntN(2) == 0 {
			wasm = g.mutate(wasm)
		}
		if err := c.check(background, wasm); err != nil {
			path := filepath.Join(keep, fmt.Sprintf("disagreement-%d.wasm", time.Now().UnixNano()))
			return c.counts, errors.Join(fmt.Errorf("%s: %w", path, err), os.WriteFile(path, wasm, 0o600))
		}
	}
	return c.counts, nil
}
