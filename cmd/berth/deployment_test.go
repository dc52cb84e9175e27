package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berth-host/berth/cmd/berth/internal/client"
)

// deployed is a host as a file of config/ starts it, with the paths of that file below a
// temporary directory.
type deployed struct {
	root string
	server
}

// newRoot makes a directory that stands for the machine's root.
func newRoot(t *testing.T, dirs ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range dirs {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// below moves the absolute paths of a text below a root. A port becomes a free one.
func below(root, text string) string {
	pairs := []string{"0.0.0.0:8080", "0.0.0.0:0"}
	for _, dir := range []string{"/etc/berth", "/var/lib/berth", "/tmp"} {
		pairs = append(pairs, dir, root+dir)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// startDeployed starts the real binary with exactly these arguments and this environment, and
// returns when it is ready.
func startDeployed(t *testing.T, root string, args, env []string) *deployed {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args, env = slices.Clone(args), slices.Clone(env)
	for i := range args {
		args[i] = below(root, args[i])
	}
	for i := range env {
		env[i] = below(root, env[i])
	}
	line, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	d := &deployed{root: root, server: server{cmd: exec.Command(exe), log: new(bytes.Buffer), done: make(chan struct{})}}
	d.cmd.Dir = filepath.Join(root, "/var/lib/berth")
	d.cmd.Env = append(env, serveVariable+"="+string(line))
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = d.cmd.Wait()
		close(d.done)
	}()
	t.Cleanup(func() {
		d.kill()
		if t.Failed() {
			t.Logf("log of the host:\n%s", d.log)
		}
	})
	await(t, "the host is ready", func() error {
		select {
		case <-d.done:
			t.Fatalf("the host has ended:\n%s", d.log)
		default:
		}
		c, err := client.Connect(client.Config{DataDir: d.cmd.Dir})
		if err != nil {
			return err
		}
		d.Client = c
		_, err = c.Call(t.Context(), "GET", "/readyz", nil, new(any))
		return err
	})
	return d
}

// deploymentFile returns a file of config/.
func deploymentFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "config", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// unit is a unit of systemd: the values of each key of each section.
type unit map[string]map[string][]string

func parseUnit(t *testing.T, text string) unit {
	t.Helper()
	u := make(unit)
	section := ""
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		switch key, value, pair := strings.Cut(line, "="); {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]"):
			section = strings.Trim(line, "[]")
			u[section] = make(map[string][]string)
		case !pair || section == "" || strings.HasSuffix(line, `\`):
			t.Fatalf("the unit has the line %q", line)
		default:
			u[section][key] = append(u[section][key], value)
		}
	}
	return u
}

// only returns the only value of a key.
func (u unit) only(t *testing.T, section, key string) string {
	t.Helper()
	if values := u[section][key]; len(values) == 1 {
		return values[0]
	}
	t.Fatalf("[%s] %s: got %q, want one value", section, key, u[section][key])
	return ""
}

func TestSystemdUnitStartsTheHost(t *testing.T) {
	u := parseUnit(t, deploymentFile(t, "systemd/berth.service"))
	command := strings.Fields(u.only(t, "Service", "ExecStart"))
	if command[0] != "/usr/local/bin/berth" {
		t.Errorf("it starts %s", command[0])
	}
	if got := u.only(t, "Service", "StateDirectory"); "/var/lib/"+got != u.only(t, "Service", "WorkingDirectory") {
		t.Errorf("StateDirectory: got %s", got)
	}
	for _, key := range []string{"NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "ProtectKernelTunables", "RestrictNamespaces", "LockPersonality"} {
		if got := u.only(t, "Service", key); got != "yes" {
			t.Errorf("%s: got %s", key, got)
		}
	}
	if u["Service"]["MemoryDenyWriteExecute"] != nil {
		t.Error("handlers are compiled to machine code: MemoryDenyWriteExecute forbids that")
	}
	if got := u.only(t, "Unit", "StartLimitIntervalSec"); got != "0" {
		t.Errorf("StartLimitIntervalSec is %s: systemd gives up while the database is away", got)
	}
	root := newRoot(t, "/etc/berth", "/var/lib/berth", "/tmp")
	write(t, filepath.Join(root, "/etc/berth/event_handlers.yaml"), []byte("server: {listen: \"127.0.0.1:0\"}\nroutes: {\"*\": {}}\n"))
	env := append(u["Service"]["Environment"], "PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/var/lib/berth", "USER="+u.only(t, "Service", "User"))
	d := startDeployed(t, root, command[1:], env)
	reload := strings.Fields(u.only(t, "Service", "ExecReload"))
	if len(reload) != 3 || reload[1] != "-HUP" || reload[2] != "$MAINPID" {
		t.Errorf("ExecReload: got %q", reload)
	}
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Call(t.Context(), "GET", "/readyz", nil, new(any)); err != nil {
		t.Errorf("after the reload: %v", err)
	}
	d.terminate(t)
}

// instruction returns the argument of the last instruction of a name in a Containerfile.
func instruction(t *testing.T, text, name string) string {
	t.Helper()
	found := ""
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			found = strings.TrimSpace(value)
		}
	}
	if found == "" {
		t.Fatalf("the Containerfile has no %s", name)
	}
	return found
}

// imageCommand returns the arguments and the environment of the image.
func imageCommand(t *testing.T) (args, env []string) {
	t.Helper()
	text := deploymentFile(t, "Containerfile")
	var entry []string
	if err := errors.Join(json.Unmarshal([]byte(instruction(t, text, "ENTRYPOINT")), &entry), json.Unmarshal([]byte(instruction(t, text, "CMD")), &args)); err != nil {
		t.Fatal(err)
	}
	if len(entry) != 1 || entry[0] != "/usr/local/bin/berth" || !strings.Contains(text, "/out/berth "+entry[0]+"\n") {
		t.Errorf("the entry point is %q", entry)
	}
	return args, strings.Fields(instruction(t, text, "ENV"))
}

func TestImageStartsTheHost(t *testing.T) {
	args, env := imageCommand(t)
	root := newRoot(t, "/etc/berth", "/var/lib/berth", "/tmp")
	certificate(t, filepath.Join(root, "/etc/berth"))
	write(t, filepath.Join(root, "/etc/berth/event_handlers.yaml"), []byte(below(root,
		"server: {tls: {cert_file: /etc/berth/tls.crt, key_file: /etc/berth/tls.key}}\nroutes: {\"*\": {}}\n")))
	startDeployed(t, root, args, env).terminate(t)
}

// certificate writes tls.crt and tls.key into a directory.
func certificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"berth", "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "tls.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, filepath.Join(dir, "tls.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}
