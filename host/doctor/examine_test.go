package doctor_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/doctor"
	"github.com/berth-host/berth/host/live"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/sandbox/vet"
)

// TestMain lets this test binary be the child process that vets a module.
func TestMain(m *testing.M) {
	vet.RunIfChild()
	pgtest.Start(m)
}

// TestExamine checks the findings for the answers of a host and the content of its data
// directory.
func TestExamine(t *testing.T) {
	dir := t.TempDir()
	data, path := filepath.Join(dir, "data"), filepath.Join(dir, "berth.yaml")
	put := func(path, text string, mode os.FileMode) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	put(path, "plugin_directories: []\ndata_dir: "+data+"\n", 0o600)
	if got := live.DataDirOf(path); got != data {
		t.Errorf("the data directory is %s", got)
	}
	answers := func(list map[string]string) func(context.Context, string, any) error {
		return func(_ context.Context, path string, answer any) error {
			text, ok := list[path]
			if !ok {
				return errors.New("nothing at " + path)
			}
			if answer == nil {
				return nil
			}
			return json.Unmarshal([]byte(text), answer)
		}
	}
	alive := map[string]string{"/healthz": `{}`, "/readyz": `{}`, "/api/v1/events/log": `{"full":true}`,
		"/api/v1/events/plugins": `{"items":[{"name":"a","state":"active"},{"name":"b","state":"breaker_open","reason":"traps"},{"name":"c","state":"needs_approval","reason":"kv"},{"name":"d","state":"disabled"}]}`}
	for _, tt := range []struct {
		name  string
		ask   func(context.Context, string, any) error
		setup func()
		want  map[string]doctor.Level // by "check: part of the detail"
	}{
		{"nothing yet", nil, func() {}, map[string]doctor.Level{
			"configuration: is valid": doctor.OK, "compiler: vetted and compiled": doctor.OK, "store: does not exist yet": doctor.OK, "host: none is running": doctor.OK, "installed plugins: 0 stored": doctor.OK}},
		{"killed", answers(nil), func() {}, map[string]doctor.Level{"host: was killed": doctor.Warning}},
		{"alive", answers(alive), func() {}, map[string]doctor.Level{
			"host: one is running at URL": doctor.OK, "event log: it is full": doctor.Problem, "plugins: b is breaker_open: traps": doctor.Warning,
			"plugins: c is needs_approval": doctor.Warning, "plugins: 1 of 4 are active": doctor.OK}},
		{"no token", answers(map[string]string{"/healthz": ``}), func() {}, map[string]doctor.Level{"host: is not ready": doctor.Warning, "plugins: nothing at": doctor.Problem}},
		{"tampered with", nil, func() {
			put(filepath.Join(data, "plugins.lock.yaml"), "plugins: {", 0o600)
			put(filepath.Join(data, "secrets", "api-key"), "s3cret", 0o644)
			put(filepath.Join(data, "admin.token"), "short", 0o600)
			put(filepath.Join(data, "berth.db"), strings.Repeat("no database ", 100), 0o600)
		}, map[string]doctor.Level{
			"installed plugins: is broken": doctor.Problem, "secrets: mode 0644: other users can read it": doctor.Problem, "admin token: does not hold a token": doctor.Problem, "store: cannot be read": doctor.Problem}},
	} {
		tt.setup()
		report := doctor.Examine(t.Context(), doctor.Examination{ConfigPath: path, DataDir: data, Version: "v", Ask: tt.ask, At: "URL"})
		for want, level := range tt.want {
			check, detail, _ := strings.Cut(want, ": ")
			found := false
			for _, f := range report.Checks {
				if f.Check == check && f.Level == level && strings.Contains(f.Detail, detail) {
					found = true
				}
				if strings.Contains(f.Detail, "s3cret") {
					t.Errorf("%s: a secret is shown: %+v", tt.name, f)
				}
			}
			if !found {
				t.Errorf("%s: no %s of %q in %+v", tt.name, level, want, report.Checks)
			}
		}
	}
	if left, err := filepath.Glob(filepath.Join(data, ".doctor*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
