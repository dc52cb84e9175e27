package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-host/berth/cmd/berth/internal/command"
)

// Every command that could mean two hosts means the one at BERTH_URL, or says that
// it does not.
func TestCommandsHeedBerthURL(t *testing.T) {
	dir, config, _ := workplace(t)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, config, append(text, "defaults: {memory_total: 96MiB}\nhandlers: {count: {breaker: {failures: 3}, config: {key: hunter2}}}\n"...))
	s := serve(t, dir, config)
	other := t.TempDir() // another host has been here
	t.Chdir(other)
	if err := os.MkdirAll("data/tokens", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("data/audit.log", []byte(`{"at":"2026-05-01T10:00:00Z","id":"x","stage":"refused","action":"of-the-other-host","who":"","error":"no"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(other, "changed.yaml"), []byte("defaults: {memory_total: 1GiB, breaker: {cooldown: 90s}}\nbus: {max_age: 192h}\n"))
	t.Setenv("BERTH_DATA_DIR", "")
	t.Setenv("BERTH_URL", s.URL)
	t.Setenv("BERTH_TOKEN", s.Token)
	if code, _, stderr := berth(t, "config", "reload"); code != command.ExitOK {
		t.Fatal(stderr)
	}
	data := filepath.Join(dir, "data")
	for _, tt := range []commandLine{
		{"audit list", command.ExitOK, []string{"reload-config", "ok (200)"}, nil, "of-the-other-host"},
		{"audit list --json", command.ExitOK, []string{`"action":"reload-config"`}, nil, "of-the-other-host"},
		{"audit list --limit 1001", command.ExitUsage, nil, []string{"--limit must be 1 to 1000"}, ""},
		{"config show", command.ExitOK, []string{"defaults.memory_total: 96MiB", "defaults.breaker.failures: 10", "defaults.breaker.cooldown: 1s", "handlers.count.breaker.failures: 3",
			"handlers.count.config: {key: …}", "server.listen: 127.0.0.1:0", "bus.max_age: 720h\n", "vet.memory: 1GiB", "marketplace.index_url: \"\"", "data_dir: " + data}, nil, "hunter2"},
		{"config show --json", command.ExitOK, []string{`{"path":"defaults.memory_total","value":"96MiB"}`, `"file":"` + config + `"`}, nil, "hunter2"},
		{"config show --handler count", command.ExitOK, []string{"handlers.count.breaker.failures: 3", "handlers.count.breaker.max_cooldown: 1m\n", "handlers.count.limits.memory: 64MiB"}, nil, "hunter2"},
		{"config show --handler No", command.ExitFailed, nil, []string{"handler: \"No\" is not the name of a handler"}, ""},
		{"config show --handler nobody", command.ExitFailed, nil, []string{"no handler nobody is configured in " + config + " or installed"}, ""},
		{"config show --file changed.yaml --handler nobody", command.ExitOK, []string{"handlers.nobody.limits.timeout: 5s\n"}, []string{"no handler nobody is configured in changed.yaml"}, ""},
		{"config show --file changed.yaml", command.ExitOK, []string{"defaults.memory_total: 1GiB", "defaults.breaker.cooldown: 1m30s", "bus.max_age: 192h\n"}, nil, "count"},
		{"config show --file missing.yaml", command.ExitFailed, nil, []string{"missing.yaml"}, ""},
		{"token list", command.ExitFailed, nil, []string{"BERTH_URL is set, and tokens are files of the host's data directory", filepath.Join(other, "data")}, ""},
		{"token create --name x --scope read", command.ExitFailed, nil, []string{"BERTH_URL is set"}, ""},
		{"token revoke x", command.ExitFailed, nil, []string{"BERTH_URL is set"}, ""},
		{"token create --name x --scope read --data-dir data", command.ExitOK, []string{"berth_"}, []string{"data directory " + filepath.Join(other, "data")}, ""},
		{"token list --data-dir data", command.ExitOK, []string{"x     read"}, []string{"data directory " + filepath.Join(other, "data")}, ""},
		{"doctor", command.ExitFailed, nil, []string{"The doctor examines this machine and its data directory data, not the host at BERTH_URL."}, s.URL},
	} {
		tt.check(t)
	}
	if records, err := os.ReadFile(filepath.Join(data, "audit.log")); err != nil || strings.Contains(string(records), "token-create") {
		t.Errorf("%v, %s", err, records)
	}

	// Of the host of this data directory BERTH_URL may be set all the same.
	t.Setenv("BERTH_DATA_DIR", data)
	if code, stdout, stderr := berth(t, "token", "create", "--name", "y", "--scope", "read"); code != command.ExitOK || !strings.HasPrefix(stdout, "berth_") || !strings.Contains(stderr, "data directory "+data) {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
	// Settings of the file that only a restart changes are noted.
	write(t, config, append(text, "defaults: {memory_total: 128MiB}\n"...))
	if code, _, stderr := berth(t, "config", "reload"); code != command.ExitOK {
		t.Fatal(stderr)
	}
	if _, stdout, stderr := berth(t, "config", "show"); !strings.Contains(stdout, "defaults.memory_total: 96MiB") || !strings.Contains(stderr, "defaults.memory_total: the file "+config+" says otherwise; that counts from the next start on") {
		t.Errorf("got %s%s", stdout, stderr)
	}
}

// commandLine is a command line with its exit code, parts of its output, and a text that is not
// in its standard output.
type commandLine struct {
	line           string
	code           int
	stdout, stderr []string
	not            string
}

func (tt commandLine) check(t *testing.T) {
	t.Helper()
	code, stdout, stderr := berth(t, strings.Fields(tt.line)...)
	if code != tt.code && tt.line != "doctor" {
		t.Errorf("%s: exit code %d: %s%s", tt.line, code, stdout, stderr)
	}
	for _, want := range tt.stdout {
		if !strings.Contains(stdout, want) {
			t.Errorf("%s: %q is missing in\n%s", tt.line, want, stdout)
		}
	}
	for _, want := range tt.stderr {
		if !strings.Contains(stderr, want) {
			t.Errorf("%s: %q is missing in %q", tt.line, want, stderr)
		}
	}
	if tt.not != "" && strings.Contains(stdout, tt.not) {
		t.Errorf("%s: %q is in\n%s", tt.line, tt.not, stdout)
	}
}
