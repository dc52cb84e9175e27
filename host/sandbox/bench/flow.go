package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// flow runs the benchmarks of other packages, which this one must not import.
func (b *bench) flow(ctx context.Context) error {
	got, err := benchmark(ctx, "./host", "^Benchmark(FanOut|Delivery)$", "5x")
	if err != nil {
		return err
	}
	b.upperBound("delivery through bus and sandbox, against a bare loop of the same guest", got["x-raw BenchmarkDelivery"], 1.3, "×")
	b.because("a host that does nothing but publish, read the log, copy, call the metered guest, read the clock and the fuel, and keep the " +
		"outcome (the floor, in the next row) uses up most of the 1.3, or all of it.")
	b.show("the floor of a delivery, against a bare loop", got["floor-x-raw BenchmarkDelivery"], "×")
	b.upperBound("delivery through bus and sandbox, against the floor", got["x-floor BenchmarkDelivery"], 1.3, "×")
	b.because("order, retries, leases, deadlines and limits cost more than they should.")
	b.lowerBound("fan-out of an event to 10 handlers, of two bare loops", got["%raw BenchmarkFanOut"], 75, "%")
	b.because("as for one handler: the floor is in the next row.")
	b.show("the floor of a fan-out, of two bare loops", got["floor-%raw BenchmarkFanOut"], "%")
	b.lowerBound("fan-out of an event to 10 handlers, of the floor", got["%floor BenchmarkFanOut"], 75, "%")
	b.because("order, retries, leases, deadlines and limits cost more than they should.")
	if got, err = benchmark(ctx, "./host/api", "^BenchmarkPublishHTTP$", "5x"); err != nil {
		return err
	}
	b.lowerBound("durable publish over HTTP, against Echo that decodes the same body", got["x-echo BenchmarkPublishHTTP"], 0.6, "×")
	b.because("the disk's flush and SQLite's work are a quarter of it, and most of the rest is net/http's, for both; see the next row.")
	b.lowerBound("the same for an Echo that only appends to a plain file, one flush for all that wait", got["plain-file-x-echo BenchmarkPublishHTTP"],
		0.6, "×")
	b.because("it is the least that a durable host does: a request has to wait, and two cores do both sides' work.")
	b.lowerBound("durable publish over HTTP, against that Echo with a plain file", got["x-plain-file BenchmarkPublishHTTP"], 0.8, "×")
	if got, err = benchmark(ctx, "./host/store", "^BenchmarkPublish$", "5x"); err != nil {
		return err
	}
	b.lowerBound("64 publishers with random keys, against a loop with one flush an event", got["x BenchmarkPublish/random_keys"], 20, "×")
	return nil
}

// benchmark runs benchmarks of a package, and returns the medians of three runs by unit and
// name.
func benchmark(ctx context.Context, pkg, pattern, times string) (map[string]float64, error) {
	cmd := exec.CommandContext(ctx, "go", "test", pkg, "-run", "^$", "-bench", pattern, "-benchtime", times, "-count", "3")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("go test %s: %w: %s", pkg, err, out)
	}
	all := make(map[string][]float64)
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name, _, _ := strings.Cut(fields[0], "-")
		for i := 2; i+1 < len(fields); i += 2 { // pairs of a value and its unit follow the name and the iterations
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("go test %s: read %q: %w", pkg, lines.Text(), err)
			}
			key := fields[i+1] + " " + name
			all[key] = append(all[key], value)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("go test %s: no benchmark ran: %s", pkg, out)
	}
	medians := make(map[string]float64, len(all))
	for key, values := range all {
		medians[key] = median(values)
	}
	return medians, nil
}
