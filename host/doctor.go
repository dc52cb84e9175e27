package host

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/berth-host/berth/host/audit"
	"github.com/berth-host/berth/host/auth"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/config/lockfile"
	"github.com/berth-host/berth/host/doctor"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/live"
	"github.com/berth-host/berth/host/pathguard"
	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/secret"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/store"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/wire"
)

// Examination says what Examine looks at.
type Examination struct {
	ConfigPath string // as Config.ConfigPath
	DataDir    string // the data directory, such as DataDirOf's
	Version    string // of the program

	// Ask calls GET on a path of the API of the host that says it runs on this
	// data directory. Nil: none says so.
	Ask func(ctx context.Context, path string, answer any) error
	// At is where Ask asks, for the report.
	At string
}

// Examine looks at everything a host needs: its configuration, files, clock,
// disk and limits, whether modules can be compiled, the store, where it listens,
// what is installed, and the host that runs, if one does. It needs no host, and changes nothing. How
// it found things is in the report, errors included.
func Examine(ctx context.Context, e Examination) doctor.Report {
	began := time.Now()
	var r doctor.Report
	c, path := e.configuration(&r)
	dir := e.DataDir
	r.Add(doctor.Editable(path, func(path string) (replace, overwrite bool, reason error) {
		way, reason := config.Probe(path, dir)
		return way == config.ByRename, way == config.ByOverwrite, reason
	}))
	r.Add(e.files(c, dir)...)
	r.Add(doctor.Disk(dir)...)
	found, stored := inspectStore(ctx, c, dir)
	pid := 0 // of the host that runs: what it may have counts, not what this process may
	if found.InUse {
		pid, _ = strconv.Atoi(found.PID)
	}
	r.Add(doctor.Limits(pid)...)
	r.Add(watches(c, path)...)
	machine := uint64(max(machineMemory(), 0))
	r.Add(doctor.Memory(uint64(max(memoryTotal(c), 0)), machine, doctor.CgroupMemoryOf(pid)))
	r.Add(e.compiler(ctx, c.Vet))
	r.Add(stored)
	if stored.Level == doctor.OK && c.Bus.Engine != config.EngineMemory {
		r.Add(readStore(ctx, filepath.Join(dir, storeFile))...)
	}
	r.Add(e.listener(ctx, c.Server, found.InUse))
	r.Add(e.installed(ctx, dir, found.InUse)...)
	r.Add(e.host(ctx, found.InUse)...)
	r.Add(doctor.Clock(began, time.Now(), filepath.Join(dir, storeFile), filepath.Join(dir, audit.File))...)
	return r
}

// configuration reads the configuration. One that is wrong is reported, and the
// defaults are gone on with.
func (e Examination) configuration(r *doctor.Report) (*config.Config, string) {
	const check = "configuration"
	path := e.ConfigPath
	if path == "" {
		path = live.DefaultPath
	}
	c, err := live.Read(path)
	if err == nil {
		r.Add(doctor.Good(check, path+" is valid"))
		return c, path
	}
	if e.ConfigPath == "" && errors.Is(err, fs.ErrNotExist) {
		r.Add(doctor.Warn(check, path+" is not there: a host runs with the defaults, which route no event", "write one, or name it with --config"))
		return config.Default(), path
	}
	problems := config.Problems(err)
	for _, p := range problems {
		r.Add(doctor.Bad(check, p.String(), "mend it: a host does not start with it, and a running one keeps the old one"))
	}
	if len(problems) == 0 {
		r.Add(doctor.Bad(check, err.Error(), "name a file that can be read with --config"))
	}
	return config.Default(), path
}

// files are the directories and the files with secrets.
func (e Examination) files(c *config.Config, dir string) []doctor.Finding {
	findings := []doctor.Finding{doctor.DataDir("data directory", dir)}
	for _, d := range []struct{ check, name string }{
		{"cache", "cache"}, {"tokens", auth.TokenDir}, {"secrets", "secrets"},
	} {
		path := filepath.Join(dir, d.name)
		entries, err := os.ReadDir(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if d.check == "secrets" {
			findings = append(append(findings, doctor.SecretDir(d.check, path)), secrets(path, entries)...)
			continue
		}
		findings = append(findings, doctor.PrivateDir(d.check, path))
		if d.check == "cache" {
			continue
		}
		if _, err := auth.List(dir); err != nil {
			findings = append(findings, doctor.Bad(d.check, err.Error(), "mend or remove the file: its token does not count"))
		}
		for _, entry := range entries { // of the files, what is wrong only: there may be many
			if f, ok := doctor.PrivateFile(d.check, filepath.Join(path, entry.Name())); ok && f.Level != doctor.OK {
				findings = append(findings, f)
			}
		}
	}
	if f, ok := doctor.PrivateFile("admin token", filepath.Join(dir, auth.TokenFile)); ok {
		if _, err := auth.ReadToken(dir); err != nil && f.Level == doctor.OK {
			f = doctor.Bad("admin token", err.Error(), "remove it to have a new one made at the next start")
		}
		findings = append(findings, f)
	}
	for _, path := range c.PluginDirectories {
		findings = append(findings, doctor.PluginDir(path))
	}
	return findings
}

// secrets reads every secret as a handler's is read, and reports what is wrong.
func secrets(dir string, entries []os.DirEntry) (findings []doctor.Finding) {
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue // no name of a secret; a mounted directory has some
		}
		if _, err := secret.Directory(dir).Read(entry.Name()); err != nil {
			findings = append(findings, doctor.Bad("secrets", fmt.Sprintf("%s: %v", entry.Name(), err), "no handler gets it; chmod 600 it, or move it away"))
		}
	}
	return findings
}

// watches watches what a host watches, for a moment.
func watches(c *config.Config, path string) (findings []doctor.Finding) {
	const check = "watches"
	for _, path := range append([]string{path}, c.PluginDirectories...) {
		if err := config.ProbeWatch(path); err != nil {
			return []doctor.Finding{doctor.Warn(check, err.Error()+": changes are noticed within seconds instead of at once", "raise fs.inotify.max_user_instances and fs.inotify.max_user_watches")}
		}
	}
	return []doctor.Finding{doctor.Good(check, "the configuration and the plugin directories can be watched")}
}

// smallest is the smallest guest: a memory, and a _start that returns.
//
//go:embed doctor.wasm
var smallest []byte

// compiler has the smallest guest vetted as every plugin is: by a child, which
// compiles it for this machine's processor.
func (e Examination) compiler(ctx context.Context, limits config.Vet) doctor.Finding {
	const check = "compiler"
	fail := func(err error) doctor.Finding {
		remedy := "berth needs amd64 with SSE4.1 or arm64, and to start itself as a child; no plugin runs without"
		switch {
		case fault.Is(err, fault.Denied):
			remedy = "see the data directory above: modules are compiled there, and it must be this user's alone"
		case fault.Full(err), strings.Contains(err.Error(), syscall.ENOSPC.Error()): // a child's error is a text
			remedy = "free some space where the data directory is: modules are compiled there"
		}
		return doctor.Bad(check, err.Error(), remedy)
	}
	at := e.DataDir // where a host compiles too, if it is there
	if info, err := os.Stat(at); err != nil || pathguard.Owner(at, info) != nil {
		at = "" // root looks at another user's host, which compiles as that user
	}
	dir, err := os.MkdirTemp(at, ".berth-doctor-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	vetter, err := vet.New(vet.Config{CacheDir: dir, Version: e.Version, Memory: limits.Memory, CPU: limits.CPU, Wall: limits.Wall})
	if err != nil {
		return fail(err)
	}
	began := time.Now()
	if _, err := vetter.Vet(ctx, spec.NewArtifact(smallest)); err != nil {
		return fail(err)
	}
	return doctor.Good(check, fmt.Sprintf("a module was vetted and compiled in %s", time.Since(began).Round(time.Millisecond)))
}

// inspectStore looks at the event log.
func inspectStore(ctx context.Context, c *config.Config, dir string) (datafile.Inspection, doctor.Finding) {
	const check = "store"
	if c.Bus.Engine == config.EngineMemory {
		return datafile.Inspection{}, doctor.Warn(check, "bus.engine is memory: events, orders and outcomes are gone when the host stops", "bus: {engine: sqlite}, unless that is meant")
	}
	path := filepath.Join(dir, storeFile)
	found, err := datafile.Inspect(ctx, path, evidence(dir)...)
	switch {
	case fault.Is(err, fault.Conflict):
		return found, doctor.Bad(check, err.Error(), "put the file back or restore a backup; else start once with --accept-data-loss")
	case fault.Is(err, fault.NotFound):
		return found, doctor.Good(check, path+" is not there yet; the first start makes it")
	case fault.Is(err, fault.Exhausted):
		return found, doctor.Warn(check, err.Error(), "free some space: a host starts and serves what it has, but takes no events")
	case fault.Is(err, fault.Internal):
		return found, doctor.Bad(check, err.Error(), "put it back from a copy, or move it away to begin with an empty log")
	case err != nil:
		return found, doctor.Bad(check, err.Error(), "run the Berth that wrote it, or name another data directory")
	case found.InUse:
		return found, doctor.Good(check, fmt.Sprintf("%s is in use by a running host (pid %s)", path, found.PID))
	case found.Schema < found.Latest:
		return found, doctor.Good(check, fmt.Sprintf("%s can be read, up to event %d; the next start upgrades it from schema %d to %d", path, found.Last, found.Schema, found.Latest))
	}
	return found, doctor.Good(check, fmt.Sprintf("%s can be read, up to event %d; no host uses it", path, found.Last))
}

// storeCheckTime bounds how long the doctor reads a store.
const storeCheckTime = time.Minute

// readStore reads all of a data file that is there.
func readStore(ctx context.Context, path string) (findings []doctor.Finding) {
	const check = "store content"
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeCheckTime)
	defer cancel()
	found, err := store.Check(ctx, path)
	for _, text := range found.Pages {
		findings = append(findings, doctor.Bad(check, "SQLite finds: "+text, "restore the store from a copy; until then events at that place cannot be read, or written"))
	}
	for _, bad := range found.Events {
		skip := fmt.Sprintf("berth events skip %d", bad.Seq)
		if bad.To > bad.Seq {
			skip += fmt.Sprintf(" --to %d", bad.To)
		}
		findings = append(findings, doctor.Bad(check, bad.Error(), "restore the store from a copy, or give up what cannot be read: "+skip))
	}
	switch {
	case ctx.Err() != nil:
		findings = append(findings, doctor.Warn(check, fmt.Sprintf("the store was not read to its end within %s", storeCheckTime), "look at it with the sqlite3 shell: PRAGMA quick_check"))
	case err != nil:
		findings = append(findings, doctor.Bad(check, err.Error(), "restore the store from a copy"))
	case findings == nil:
		findings = append(findings, doctor.Good(check, "every page and every event can be read"))
	}
	return findings
}

// installed compares installed plugins with the lock file.
func (e Examination) installed(ctx context.Context, dir string, running bool) []doctor.Finding {
	const check = "installed plugins"
	var list []wire.Stored
	var err error
	if running && e.Ask != nil {
		var answer wire.List[wire.Stored]
		err = e.Ask(ctx, "/api/v1/plugins/verify", &answer)
		list = answer.Items
	} else if _, missing := os.Stat(dir); missing == nil {
		list, err = install.Check(ctx, dir, lockfile.Codec{Header: lockHeader})
	}
	if err != nil {
		return []doctor.Finding{doctor.Bad(check, err.Error(), "installed plugins are not run before it is mended")}
	}
	var findings []doctor.Finding
	for _, s := range list {
		if !s.OK {
			findings = append(findings, doctor.Bad(check, fmt.Sprintf("%s %s: %s", s.Plugin, s.Version, s.Problem), "install it again, or roll it back"))
		}
	}
	if findings == nil {
		findings = append(findings, doctor.Good(check, fmt.Sprintf("%d stored versions are as the lock file has them", len(list))))
	}
	return findings
}

// host asks the host that runs.
func (e Examination) host(ctx context.Context, inUse bool) []doctor.Finding {
	const check = "host"
	if e.Ask == nil {
		if inUse {
			return []doctor.Finding{doctor.Bad(check, "a process uses the store, but says nowhere how to reach it", "it is starting or ending: look again; else stop it by its pid")}
		}
		return []doctor.Finding{doctor.Good(check, "none is running")}
	}
	if err := e.Ask(ctx, "/healthz", nil); err != nil {
		if !inUse {
			return []doctor.Finding{doctor.Warn(check, fmt.Sprintf("one was running at %s and was killed", e.At), "nothing, if that is known: the next start goes on where it was")}
		}
		return []doctor.Finding{doctor.Bad(check, err.Error(), "look at its log; SIGTERM ends it in order")}
	}
	findings := []doctor.Finding{doctor.Good(check, "one is running at "+e.At)}
	if err := e.Ask(ctx, "/readyz", nil); err != nil {
		findings[0] = doctor.Warn(check, fmt.Sprintf("the one at %s is not ready: %v", e.At, err), "wait: modules that are new to it are compiled first")
	}
	var log wire.LogStatus
	if err := e.Ask(ctx, "/api/v1/events/log", &log); err == nil && log.Problem != "" {
		findings = append(findings, doctor.Bad("event log", log.Problem, "put the file back under its name; before the host ends, copy the open files that its log names"))
	} else if err == nil && log.Full {
		findings = append(findings, doctor.Bad("event log", "it is full: the host takes no events", "make room, or raise bus.max_size"))
	}
	var plugins wire.List[wire.Plugin]
	if err := e.Ask(ctx, "/api/v1/events/plugins", &plugins); err != nil {
		return append(findings, doctor.Bad("plugins", err.Error(), "give a token with the scope read in BERTH_TOKEN"))
	}
	active := 0
	for _, p := range plugins.Items {
		text := fmt.Sprintf("%s is %s: %s", p.Name, p.State, p.Reason)
		switch p.State {
		case wire.Active:
			active++
		case wire.Rejected:
			findings = append(findings, doctor.Warn("plugins", text, "berth plugin report "+p.Name))
		case wire.NeedsApproval, wire.Held:
			findings = append(findings, doctor.Warn("plugins", text, "berth plugin show "+p.Name+", then approve or enable it"))
		case wire.Stuck:
			findings = append(findings, doctor.Bad("plugins", text, "restore the store from a copy, or give the event up: berth events skip"))
		case wire.BreakerOpen:
			findings = append(findings, doctor.Warn("plugins", text, "its events wait; put a mended version in its place"))
		}
	}
	return append(findings, doctor.Good("plugins", fmt.Sprintf("%d of %d are active", active, len(plugins.Items))))
}
