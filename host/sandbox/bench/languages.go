package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/spec"
)

// sdkTarget is how much more an SDK may cost for an event than the same handler written
// against the imports of the ABI by itself.
const sdkTarget = 1.5

// typicalData is the data of the event: the typical handler reads three fields of it.
const typicalData = `{"order_id":"o-1001","id":"o-1001","customer_id":"ada","currency":"EUR","items":[{"sku":"TEAPOT","quantity":1,` +
	`"unit_price_cents":2490},{"sku":"CUP","quantity":4,"unit_price_cents":890}],"total_cents":6050,"status":"shipped","version":4,` +
	`"previous_status":"processing","created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T04:05:06Z"}`

// language is one line of the table of languages.
type language struct {
	name     string
	size     int     // of the typical handler, in bytes
	cold     float64 // ms to vet and compile it
	start    float64 // ms from the compiled module to the first call of next
	event    float64 // µs for an event
	ratio    float64 // of that to the µs of the hand-written handler
	resident float64 // KiB of an idle instance
}

// languages measures the handlers dir/LANGUAGE/typical.wasm and minimum.wasm and returns a
// table in Markdown. It is an error if a handler gives another answer than its counterpart.
func (b *bench) languages(ctx context.Context, dir string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*", "typical.wasm"))
	if err != nil {
		return "", err
	}
	if len(files) == 0 {
		return "", fmt.Errorf("%s has no LANGUAGE/typical.wasm: run make guests", dir)
	}
	var list []language
	for _, file := range files {
		l := language{name: filepath.Base(filepath.Dir(file))}
		fmt.Fprintf(os.Stderr, "measuring %s…\n", l.name)
		if err := b.language(ctx, filepath.Dir(file), &l); err != nil {
			return "", fmt.Errorf("%s: %w", l.name, err)
		}
		list = append(list, l)
	}
	slices.SortFunc(list, func(a, b language) int { return strings.Compare(a.name, b.name) })
	var table strings.Builder
	fmt.Fprintf(&table, "Measured on %s, with %d processors of %s, by `make languages`.\n\n", time.Now().UTC().Format(time.DateOnly),
		runtime.NumCPU(), processor())
	table.WriteString("| language | size | vet and compile | instantiate | an event | of the hand-written minimum | an idle instance |\n")
	table.WriteString("|---|---|---|---|---|---|---|\n")
	for _, l := range list {
		verdict := ""
		if l.ratio > sdkTarget {
			verdict = fmt.Sprintf(" (over %.1f)", sdkTarget)
		}
		fmt.Fprintf(&table, "| %s | %s | %.0f ms | %s | %.2f µs | %.2f ×%s | %s |\n", l.name, amount(float64(l.size)/1024), l.cold, duration(l.start),
			l.event, l.ratio, verdict, amount(l.resident))
	}
	return table.String(), nil
}

// language measures one language.
func (b *bench) language(ctx context.Context, dir string, l *language) error {
	typical, err := os.ReadFile(filepath.Join(dir, "typical.wasm"))
	if err != nil {
		return err
	}
	minimum, err := os.ReadFile(filepath.Join(dir, "minimum.wasm"))
	if err != nil {
		return err
	}
	l.size = len(typical)
	begin := time.Now()
	if _, err := (vet.InProcess{}).Vet(ctx, spec.NewArtifact(typical)); err != nil {
		return err
	}
	l.cold = float64(time.Since(begin).Microseconds()) / 1000
	if l.event, l.ratio, err = b.compare(ctx, typical, minimum); err != nil {
		return err
	}
	return b.instances(ctx, typical, l)
}

// compare returns the µs for an event of the typical handler, and their ratio to those of the
// minimum, which must give the same answer: medians of rounds in which both alternate.
func (b *bench) compare(ctx context.Context, typical, minimum []byte) (event, ratio float64, err error) {
	const rounds, round = 31, 60 * time.Millisecond
	var floods [2]*flood
	for i, wasm := range [][]byte{typical, minimum} {
		if floods[i], err = newFlood(typicalData); err != nil {
			return 0, 0, err
		}
		stop, err := b.pool(ctx, wasm, sandbox.PoolConfig{Source: floods[i]}, "")
		if err != nil {
			return 0, 0, err
		}
		defer stop()
	}
	if a, b := floods[0].answer(), floods[1].answer(); a != b {
		return 0, 0, fmt.Errorf("the typical handler answers %s, the minimum %s", a, b)
	}
	var counts [2]int
	for i, f := range floods {
		for n := 10; ; n *= 2 {
			begin := time.Now()
			f.run(n)
			if took := time.Since(begin); took > round/4 {
				counts[i] = max(n, int(float64(n)*float64(round)/float64(took)))
				break
			}
		}
	}
	var times [2][]float64
	for range rounds {
		for i, f := range floods {
			begin := time.Now()
			f.run(counts[i])
			times[i] = append(times[i], float64(time.Since(begin).Nanoseconds())/1000/float64(counts[i]))
		}
	}
	var ratios []float64
	for i, t := range times[0] {
		ratios = append(ratios, t/times[1][i])
	}
	return median(times[0]), median(ratios), nil
}

// instances measures the start and the memory of instances that have served an event.
func (b *bench) instances(ctx context.Context, wasm []byte, l *language) error {
	const n = 12
	engine, err := newEngine("")
	if err != nil {
		return err
	}
	m, err := engine.Load(ctx, spec.NewArtifact(wasm), sandbox.Options{})
	if err != nil {
		return err
	}
	before, err := resident()
	if err != nil {
		return err
	}
	var starts []float64
	var pools []*sandbox.Pool
	for range n {
		f, err := newFlood(typicalData)
		if err != nil {
			return err
		}
		begin := time.Now()
		p, err := m.NewPool(ctx, sandbox.PoolConfig{Source: f, Limits: spec.Limits{Concurrency: 1}})
		if err != nil {
			return err
		}
		starts = append(starts, float64(time.Since(begin).Microseconds())/1000)
		pools = append(pools, p)
		f.run(1)
	}
	after, err := resident()
	if err != nil {
		return err
	}
	l.start, l.resident = median(starts), (after-before)/n/1024
	for _, p := range pools {
		err = errors.Join(err, p.Drain(ctx))
	}
	return errors.Join(err, m.Close(ctx))
}

// writeTable replaces what is between the markers of a document.
func writeTable(document, table string) error {
	const begin, end = "<!-- begin: make languages -->\n", "<!-- end: make languages -->"
	text, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	before, behind, ok := bytes.Cut(text, []byte(begin))
	_, after, found := bytes.Cut(behind, []byte(end))
	if !ok || !found {
		return fmt.Errorf("%s lacks the markers of the table", document)
	}
	return os.WriteFile(document, slices.Concat(before, []byte(begin+table+end), after), 0o644)
}

func amount(kib float64) string {
	if kib >= 1024 {
		return fmt.Sprintf("%.1f MiB", kib/1024)
	}
	return fmt.Sprintf("%.1f KiB", kib)
}

func duration(ms float64) string {
	if ms < 1 {
		return fmt.Sprintf("%.0f µs", ms*1000)
	}
	return fmt.Sprintf("%.1f ms", ms)
}

// processor returns the name of the processor (Linux, proc(5)).
func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.Trim(name, "\t :\n")
		}
	}
	return runtime.GOARCH
}
