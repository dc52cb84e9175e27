package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// binary builds berth, without the race detector: it is what a user measures.
func binary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "berth")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, "../berth")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// TestShortRunFillsEveryTable runs every part against the real binary.
func TestShortRunFillsEveryTable(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if err := run(t.Context(), []string{"-short", "-berth", binary(t), "-guests", "../../testdata/guests"}, &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s%s", err, &stdout, &stderr)
	}
	for _, title := range []string{"Durable events over HTTP", "Durable deliveries", "Latency", "8,000 retained events", "Disk", "kv", "Results"} {
		if !strings.Contains(stdout.String(), "### "+title+"\n") {
			t.Errorf("no table %q", title)
		}
	}
	cells := 0
	for line := range strings.Lines(stdout.String()) {
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		for cell := range strings.SplitSeq(strings.Trim(line, "| \n"), " | ") {
			cells++
			if cell == "" || cell == "–" {
				t.Errorf("a cell without a figure: %s", line)
			}
		}
	}
	if cells < 100 {
		t.Errorf("only %d cells", cells)
	}
	for _, size := range []string{"of about 30 bytes", "with 100 letters"} {
		if want := fmt.Sprintf("| %s | 6,000 | 6,000 | 0 | 0 | 6,000 | 6,000 |", size); !strings.Contains(stdout.String(), want) {
			t.Errorf("no line %q", want)
		}
	}
	for _, handlers := range []string{"1", "3"} {
		if !regexp.MustCompile(`(?m)^\| ` + handlers + ` \| .* \| 100 \|$`).MatchString(stdout.String()) {
			t.Errorf("not every result of %s handlers is shown", handlers)
		}
	}
	if t.Failed() {
		t.Logf("\n%s", &stdout)
	}
}

func TestArgumentsAreChecked(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"-only nothing", "the parts are publish, deliver, latency, retained, disk, kv, results"},
		{"publish", "usage: load [flags]"},
		{"-events -1", "numbers from 1"},
		{"-only publish -short -berth /dev/null/berth", "start the host"},
		{"-only deliver -short -guests /dev/null", "-guests names the directory testdata/guests"},
	} {
		var stdout, stderr bytes.Buffer
		err := run(t.Context(), strings.Fields(tt.args), &stdout, &stderr)
		if err == nil || !strings.Contains(err.Error(), tt.want) || stdout.Len() > 0 {
			t.Errorf("load %s: got %v, and printed %q; want %q", tt.args, err, &stdout, tt.want)
		}
	}
}

func TestHelpNamesTheParts(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if err := run(t.Context(), []string{"-h"}, &stdout, &stderr); err != nil || !strings.Contains(stderr.String(), "publish, deliver, latency, retained, disk, kv, results") {
		t.Errorf("%v\n%s", err, &stderr)
	}
}
