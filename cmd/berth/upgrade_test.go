package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/host/wire"
)

// withManifest gives a module a manifest.
func withManifest(wasm []byte, manifest string) []byte {
	body := binary.AppendUvarint(nil, uint64(len(abi.ManifestSection)))
	body = append(append(body, abi.ManifestSection...), manifest...)
	out := append(bytes.Clone(wasm), 0)
	return append(binary.AppendUvarint(out, uint64(len(body))), body...)
}

// upgrading is a host, and a server of four modules.
type upgrading struct {
	*testing.T
	s                       *server
	shop                    *httptest.Server
	modules                 map[string][]byte // by path
	dir, config, data, yaml string
}

func newUpgrading(t *testing.T) *upgrading {
	t.Helper()
	echo := guest(t, "echo")
	modules := map[string][]byte{
		"/1": withManifest(echo, `{"name":"echo","version":"1.0.0"}`),
		"/2": withManifest(echo, `{"name":"echo","version":"2.0.0","capabilities":[{"name":"kv","reason":"counts orders"},{"name":"http","hosts":["api.example.com"],"reason":"tells"}]}`),
		"/3": withManifest(guest(t, "refused_import"), `{"name":"echo","version":"3.0.0"}`),
		"/4": withManifest(echo, `{"name":"other","version":"4.0.0"}`),
	}
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(modules[r.URL.Path]) }))
	t.Cleanup(shop.Close)
	dir, config, plugins := workplace(t)
	yaml := "# The team's.\nplugin_directories: [" + plugins + "]\nroutes:\n  \"*\": {} # all of it\nmarketplace: {allow_private_hosts: [127.0.0.1]}\n\nhandlers:\n  # Ours.\n  echo:\n    # Twice is enough.\n    retry: {max_attempts: 2}\n"
	write(t, config, []byte(yaml))
	return &upgrading{T: t, s: serve(t, dir, config), shop: shop, modules: modules, dir: dir, config: config, data: filepath.Join(dir, "data"), yaml: yaml}
}

// berth runs a command of the group plugin.
func (u *upgrading) berth(args ...string) (stdout, stderr string, code int) {
	var out, problems bytes.Buffer
	code = doMain(u.Context(), append([]string{"plugin"}, append(args, "--data-dir", u.data)...), strings.NewReader(""), &out, &problems)
	return out.String(), problems.String(), code
}

// from returns the flags of a module's URL.
func (u *upgrading) from(path string) []string {
	return []string{"--url", u.shop.URL + path, "--sha256", fmt.Sprintf("%x", sha256.Sum256(u.modules[path]))}
}

// version checks the version that is active.
func (u *upgrading) version(want string) {
	u.Helper()
	out, _, _ := u.berth("show", "echo")
	if !strings.Contains(out, "plugin      echo "+want+"\n") || !strings.Contains(out, "state       active\n") {
		u.Errorf("want %s: %s", want, out)
	}
}

// text returns the configuration.
func (u *upgrading) text() string {
	u.Helper()
	content, err := os.ReadFile(u.config)
	if err != nil {
		u.Fatal(err)
	}
	return string(content)
}

// TestUpgrade installs, upgrades, rolls back and uninstalls by the command line, with the
// real binary, and checks the configuration, the lock and the store.
func TestUpgrade(t *testing.T) {
	u := newUpgrading(t)
	u.installs()
	u.approvesAPlan()
	u.rollsBackAfterACrash()
	u.refusesADamagedModule()
	u.uninstalls()
}

func (u *upgrading) installs() {
	u.Helper()
	if out, problems, code := u.berth(append([]string{"install"}, u.from("/1")...)...); code != 0 || !strings.Contains(out, "plugin      echo 1.0.0") {
		u.Fatalf("install: %d, %s%s", code, out, problems)
	}
	u.version("1.0.0")
	if u.text() != u.yaml {
		u.Errorf("the configuration was changed to\n%s", u.text())
	}
}

func (u *upgrading) approvesAPlan() {
	u.Helper()
	_, problems, code := u.berth(append([]string{"upgrade", "echo"}, u.from("/2")...)...)
	if code != 1 || !strings.Contains(problems, "echo 1.0.0 → 2.0.0") || !strings.Contains(problems, "asks for    kv (NEW) counts orders") || !strings.Contains(problems, "asks for    http api.example.com (NEW) tells") {
		u.Fatalf("upgrade: %d, %s", code, problems)
	}
	u.version("1.0.0")
	if u.text() != u.yaml {
		u.Errorf("the configuration was changed to\n%s", u.text())
	}
	_, after, found := strings.Cut(problems, "--approve ")
	digest, _, _ := strings.Cut(after, ",")
	if !found || len(digest) != 64 {
		u.Fatalf("no digest in %s", problems)
	}
	for path, why := range map[string]string{"/3": "is rejected", "/4": "names it other"} {
		if _, problems, code := u.berth(append([]string{"upgrade", "echo", "--yes"}, u.from(path)...)...); code != 1 || !strings.Contains(problems, why) {
			u.Errorf("%s: %d, %s", path, code, problems)
		}
	}
	u.version("1.0.0")
	if out, problems, code := u.berth(append([]string{"upgrade", "echo", "--approve", digest, "--json"}, u.from("/2")...)...); code != 0 {
		u.Fatalf("approved: %d, %s%s", code, out, problems)
	} else {
		var p wire.Plugin
		if err := json.Unmarshal([]byte(out), &p); err != nil || p.Version != "2.0.0" || len(p.Capabilities) != 2 || !p.Capabilities[0].Granted || !p.Capabilities[1].Granted {
			u.Errorf("got %+v, %v", p, err)
		}
	}
	granted := u.text()
	if strings.Replace(granted, "    grants: [\"kv\", {name: \"http\", hosts: [\"api.example.com\"]}]\n", "", 1) != u.yaml {
		u.Errorf("more than the grants was changed:\n%s", granted)
	}
	u.s.delivered(u.T, emit(u.T, u.s, "one"), "echo")
}

func (u *upgrading) rollsBackAfterACrash() {
	u.Helper()
	u.shop.Close()
	u.s.kill()
	u.s = serve(u.T, u.dir, u.config)
	u.s.active(u.T, "echo")
	u.version("2.0.0")
	if out, problems, code := u.berth("rollback", "echo"); code != 0 || !strings.Contains(out, "echo 1.0.0") {
		u.Errorf("rollback: %d, %s%s", code, out, problems)
	}
	u.version("1.0.0")
	if out, _, code := u.berth("verify"); code != 0 || strings.Count(out, "\n") != 3 || !strings.Contains(out, "2.0.0    former") {
		u.Errorf("verify: %d, %s", code, out)
	}
	u.s.delivered(u.T, emit(u.T, u.s, "two"), "echo")
}

func (u *upgrading) refusesADamagedModule() {
	u.Helper()
	u.s.terminate(u.T)
	stored := filepath.Join(u.data, ".store", "sha256", fmt.Sprintf("%x.wasm", sha256.Sum256(u.modules["/1"])))
	if err := errors.Join(os.Chmod(stored, 0o600), os.WriteFile(stored, u.modules["/4"], 0o600)); err != nil {
		u.Fatal(err)
	}
	u.s = serve(u.T, u.dir, u.config)
	if out, _, code := u.berth("show", "echo"); code != 0 || !strings.Contains(out, "rejected") || !strings.Contains(out, "does not match the lock") {
		u.Errorf("damaged: %d, %s", code, out)
	}
	if out, problems, code := u.berth("verify"); code != 1 || !strings.Contains(out, "1.0.0    damaged") || !strings.Contains(problems, "1 stored modules are damaged") {
		u.Errorf("verify: %d, %s%s", code, out, problems)
	}
	if out, problems, code := u.berth("rollback", "echo", "2.0.0"); code != 0 {
		u.Errorf("rollback: %d, %s%s", code, out, problems)
	}
	u.version("2.0.0")
}

func (u *upgrading) uninstalls() {
	u.Helper()
	if _, problems, code := u.berth("uninstall", "echo", "--purge", "--yes"); code != 0 {
		u.Errorf("uninstall: %s", problems)
	}
	if left, err := filepath.Glob(filepath.Join(u.data, ".store", "sha256", "*")); err != nil || len(left) != 0 {
		u.Errorf("left: %q, %v", left, err)
	}
	if got := u.text(); strings.Contains(got, "echo") || !strings.HasPrefix(got, "# The team's.\n") || !strings.Contains(got, "# all of it") {
		u.Errorf("the configuration is\n%s", got)
	}
	if lock, err := os.ReadFile(filepath.Join(u.data, "plugins.lock.yaml")); err != nil || strings.Contains(string(lock), "echo") {
		u.Errorf("the lock is\n%s, %v", lock, err)
	}
	u.s.terminate(u.T)
}

// --yes approves the plan at once, and an installation streams its progress.
func TestInstallStream(t *testing.T) {
	wasm := withManifest(guest(t, "echo"), `{"name":"echo","capabilities":[{"name":"kv"}]}`)
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(wasm) }))
	t.Cleanup(shop.Close)
	dir, config, _ := workplace(t)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, config, append(text, "marketplace: {allow_private_hosts: [127.0.0.1]}\n"...))
	s := serve(t, dir, config)
	in := wire.Install{URL: shop.URL + "/?token=secret", SHA256: fmt.Sprintf("%x", sha256.Sum256(wasm))}
	ask := func() (steps []string, last string, problem wire.Problem) {
		t.Helper()
		resp, err := s.Do(t.Context(), "POST", "/api/v1/plugins/install", client.StreamType, in)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		err = client.ReadEvents(resp.Body, func(kind string, data []byte) error {
			last = kind
			switch kind {
			case "progress":
				var p wire.Progress
				if err := json.Unmarshal(data, &p); err != nil {
					return err
				}
				if len(steps) == 0 || steps[len(steps)-1] != p.Step {
					steps = append(steps, p.Step)
				}
			case "problem":
				return json.Unmarshal(data, &problem)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return steps, last, problem
	}
	steps, last, problem := ask()
	if last != "problem" || problem.Code != "approval_required" || problem.Status != 409 || problem.Plan == nil || strings.Join(steps, " ") != "resolve download vet" {
		t.Fatalf("got %v, %s, %+v", steps, last, problem)
	}
	in.Approve = problem.Plan.Digest
	if steps, last, _ = ask(); last != "plugin" || strings.Join(steps, " ") != "resolve download vet store probe commit start" {
		t.Errorf("got %v, %s", steps, last)
	}
	lock, err := os.ReadFile(filepath.Join(dir, "data", "plugins.lock.yaml"))
	if err != nil || strings.Contains(string(lock), "secret") {
		t.Errorf("the lock is\n%s, %v", lock, err)
	}
	s.terminate(t)
}

func TestReadEvents(t *testing.T) {
	var got []string
	on := func(kind string, data []byte) error { got = append(got, kind+"="+string(data)); return nil }
	if err := client.ReadEvents(strings.NewReader(": hello\n\nevent: a\ndata: 1\ndata:2\n\nid: 3\n\ndata: x\n\nevent: cut\ndata: off"), on); err != nil {
		t.Fatal(err)
	}
	if want := "a=1\n2|=x"; strings.Join(got, "|") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
