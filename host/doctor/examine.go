package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/berth-host/berth/host/audit"
	"github.com/berth-host/berth/host/auth"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/config/document"
	"github.com/berth-host/berth/host/config/file"
	"github.com/berth-host/berth/host/live"
	"github.com/berth-host/berth/host/secret"
)

// Examination is the subject of Examine.
type Examination struct {
	ConfigPath string // the configuration file, "" for live.DefaultPath
	DataDir    string
	Version    string // of the program

	// Ask sends GET for a path to the API of the host that runs on the data directory.
	// nil: no host has announced itself there.
	Ask func(ctx context.Context, path string, answer any) error
	// At is the URL of that API, for the report.
	At string
}

// Examine checks everything a host needs: configuration, files, clock, disk, limits,
// compiler, store, listener and installed plugins, and the running host, if any. It
// needs no host and changes nothing. Errors are findings of the report.
func Examine(ctx context.Context, e Examination) Report {
	began := time.Now()
	var r Report
	c, path := e.configuration(&r)
	found, stored := inspectStore(ctx, c, e.DataDir)
	pid := 0 // of the running host, whose limits apply instead of this process's
	if found.InUse {
		pid, _ = strconv.Atoi(found.PID)
	}
	e.machine(&r, c, path, pid)
	r.Add(e.compiler(ctx, c.Vet))
	r.Add(stored)
	if stored.Level == OK && c.Bus.Engine == config.EngineSQLite {
		r.Add(readStore(ctx, filepath.Join(e.DataDir, StoreFile))...)
	}
	e.service(ctx, &r, c, found.InUse || c.Bus.Engine == config.EnginePostgres && e.answers(ctx), began)
	return r
}

// ExamineRunning is Examine for the running host itself, which e.Ask asks without the
// network: it checks what can change while a host runs, and starts no process. It does not
// check the compiler and the store, which the host has open.
func ExamineRunning(ctx context.Context, e Examination) Report {
	began := time.Now()
	var r Report
	c, path := e.configuration(&r)
	e.machine(&r, c, path, 0)
	e.service(ctx, &r, c, true, began)
	return r
}

// machine checks the files and the machine, with the limits of a process, 0 for this one.
func (e Examination) machine(r *Report, c *config.Config, path string, pid int) {
	dir := e.DataDir
	r.Add(Editable(path, func(path string) (replace, overwrite bool, reason error) {
		way, reason := file.Probe(path, dir)
		return way == file.ByRename, way == file.ByOverwrite, reason
	}))
	r.Add(e.files(c, dir)...)
	r.Add(Disk(dir)...)
	r.Add(Limits(pid)...)
	r.Add(watches(c, path)...)
	total := uint64(max(machineMemory(), 0))
	r.Add(Memory(uint64(max(c.MemoryTotal(AvailableMemory()), 0)), total, CgroupMemoryOf(pid)))
}

// answers reports whether a host has announced itself, and answers: the data directory of one with
// a database has no store that could be in use.
func (e Examination) answers(ctx context.Context) bool {
	return e.Ask != nil && e.Ask(ctx, "/healthz", nil) == nil
}

// service checks the listener, the installed plugins, the running host and the clock.
func (e Examination) service(ctx context.Context, r *Report, c *config.Config, running bool, began time.Time) {
	r.Add(e.listener(ctx, c.Server, running))
	r.Add(e.installed(ctx, e.DataDir, running)...)
	r.Add(e.host(ctx, running)...)
	r.Add(Clock(began, time.Now(), filepath.Join(e.DataDir, StoreFile), filepath.Join(e.DataDir, audit.File))...)
}

// configuration reads the configuration. It reports an invalid one and returns the
// defaults.
func (e Examination) configuration(r *Report) (*config.Config, string) {
	const check = "configuration"
	path := e.ConfigPath
	if path == "" {
		path = live.DefaultPath
	}
	c, err := live.Read(path)
	if err == nil {
		r.Add(Good(check, path+" is valid"))
		return c, path
	}
	if e.ConfigPath == "" && errors.Is(err, fs.ErrNotExist) {
		r.Add(Warn(check, path+" does not exist: a host runs with the defaults, which route no event",
			"create it, or name another file with --config"))
		return config.Default(), path
	}
	problems := document.Problems(err)
	for _, p := range problems {
		r.Add(Bad(check, p.String(), "correct it: a host does not start with it, and a running host keeps the former configuration"))
	}
	if len(problems) == 0 {
		r.Add(Bad(check, err.Error(), "name a readable file with --config"))
	}
	return config.Default(), path
}

// files checks the directories and the files with secrets.
func (e Examination) files(c *config.Config, dir string) []Finding {
	findings := []Finding{DataDir("data directory", dir)}
	for _, d := range []struct{ check, name string }{
		{"cache", "cache"}, {"tokens", auth.TokenDir}, {"secrets", "secrets"},
	} {
		path := filepath.Join(dir, d.name)
		entries, err := os.ReadDir(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if d.check == "secrets" {
			findings = append(append(findings, SecretDir(d.check, path)), secrets(path, entries)...)
			continue
		}
		findings = append(findings, PrivateDir(d.check, path))
		if d.check == "cache" {
			continue
		}
		if _, err := auth.List(dir); err != nil {
			findings = append(findings, Bad(d.check, err.Error(), "repair or remove the file: its token is ignored"))
		}
		for _, entry := range entries { // report problems only: there may be many files
			if f, ok := PrivateFile(d.check, filepath.Join(path, entry.Name())); ok && f.Level != OK {
				findings = append(findings, f)
			}
		}
	}
	if f, ok := PrivateFile("admin token", filepath.Join(dir, auth.TokenFile)); ok {
		if _, err := auth.ReadToken(dir); err != nil && f.Level == OK {
			f = Bad("admin token", err.Error(), "remove it; the next start creates a new one")
		}
		findings = append(findings, f)
	}
	for _, path := range c.PluginDirectories {
		findings = append(findings, PluginDir(path))
	}
	return findings
}

// secrets reads every secret as for a handler, and reports the failures.
func secrets(dir string, entries []os.DirEntry) (findings []Finding) {
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue // not a secret's name; mounted directories have such files
		}
		if _, err := secret.Directory(dir).Read(entry.Name()); err != nil {
			findings = append(findings, Bad("secrets", fmt.Sprintf("%s: %v", entry.Name(), err),
				"no handler can read it; run chmod 600, or move it away"))
		}
	}
	return findings
}

// watches tries to watch the paths that a host watches.
func watches(c *config.Config, path string) (findings []Finding) {
	const check = "watches"
	for _, path := range append([]string{path}, c.PluginDirectories...) {
		if err := file.ProbeWatch(path); err != nil {
			return []Finding{Warn(check, err.Error()+": changes are detected within seconds instead of at once",
				"raise fs.inotify.max_user_instances and fs.inotify.max_user_watches")}
		}
	}
	return []Finding{Good(check, "the configuration and the plugin directories can be watched")}
}
