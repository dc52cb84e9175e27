package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/host/audit"
	"github.com/berth-host/berth/host/auth"
)

// berth runs one command line in this process.
func berth(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = doMain(t.Context(), args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// put writes a file with its directories.
func put(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
}

// status is what the API answers to a token.
func (s *server) status(t *testing.T, token, method, path string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := s.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

// Tokens are made, listed and revoked without a host, and count in a running one
// at once; all of it is in the audit log.
func TestTokens(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	put(t, filepath.Join(dir, "berth.yaml"), "routes: {}\n", 0o644)
	if code, _, stderr := berth(t, "token", "create", "--name", "n", "--scope", "read", "--data-dir", data); code != command.ExitFailed || !strings.Contains(stderr, "no data directory") {
		t.Errorf("without a data directory: got %d, %s", code, stderr)
	}
	s := serve(t, dir, filepath.Join(dir, "berth.yaml"))
	code, secret, stderr := berth(t, "token", "create", "--name", "deploy", "--scope", "read,publish", "--expires", "30d", "--data-dir", data)
	secret = strings.TrimSpace(secret)
	if code != command.ExitOK || !strings.HasPrefix(secret, "berth_") || !strings.Contains(stderr, "publish, read") {
		t.Fatalf("got %d, %q, %s", code, secret, stderr)
	}
	for _, tt := range []struct {
		token, method, path string
		want                int
	}{
		{secret, "GET", "/api/v1/events", 200},
		{secret, "POST", "/api/v1/events/reload-config", 403},
		{secret, "DELETE", "/api/v1/plugins/uninstall/none", 403},
		{secret + "x", "GET", "/api/v1/events", 401},
		{s.Token, "POST", "/api/v1/events/reload-config", 200},
		{s.Token, "POST", "/api/v1/events/plugins/none/enable", 404},
	} {
		if got := s.status(t, tt.token, tt.method, tt.path); got != tt.want {
			t.Errorf("%s %s: got %d, want %d", tt.method, tt.path, got, tt.want)
		}
	}
	tokens, err := auth.List(data)
	if err != nil || len(tokens) != 1 {
		t.Fatalf("got %v, %v", tokens, err)
	}
	id := tokens[0].ID
	if code, stdout, _ := berth(t, "token", "list", "--data-dir", data); code != command.ExitOK || !strings.Contains(stdout, id) || !strings.Contains(stdout, "publish,read") {
		t.Errorf("got %d, %s", code, stdout)
	}
	if code, stdout, _ := berth(t, "token", "revoke", id, "--data-dir", data); code != command.ExitOK || !strings.Contains(stdout, "is revoked") {
		t.Errorf("got %d, %s", code, stdout)
	}
	if got := s.status(t, secret, "GET", "/api/v1/events"); got != 401 {
		t.Errorf("a revoked token: got %d", got)
	}
	if code, _, stderr := berth(t, "token", "revoke", id, "--data-dir", data); code != command.ExitFailed || !strings.Contains(stderr, "there is no token") {
		t.Errorf("again: got %d, %s", code, stderr)
	}
	for _, wrong := range [][]string{{"--scope", "root"}, {"--scope", ""}, {"--expires", "soon", "--scope", "read"}, {"--name", "", "--scope", "read"}} {
		if code, stdout, _ := berth(t, append([]string{"token", "create", "--name", "n", "--data-dir", data}, wrong...)...); code == command.ExitOK || stdout != "" {
			t.Errorf("%v: got %d, %s", wrong, code, stdout)
		}
	}

	checkAuditLog(t, data)
	if code, stdout, _ := berth(t, "audit", "list", "--limit", "2", "--data-dir", data); code != command.ExitOK || strings.Count(stdout, "\n") != 3 {
		t.Errorf("got %d, %s", code, stdout)
	}
	put(t, filepath.Join(dir, "berth.yaml"), "routes: {order_new: {}}\n", 0o644)
	await(t, "the change of the file is recorded", func() error {
		_, stdout, _ := berth(t, "audit", "list", "--data-dir", data)
		if !strings.Contains(stdout, "the file") || !strings.Contains(stdout, "routes.order_new: added") {
			return errors.New(stdout)
		}
		return nil
	})
	s.terminate(t)
	if tokens, err := auth.List(data); err != nil || len(tokens) != 0 {
		t.Errorf("got %v, %v", tokens, err)
	}
}

// checkAuditLog checks the records of TestTokens.
func checkAuditLog(t *testing.T, data string) {
	t.Helper()
	code, stdout, _ := berth(t, "audit", "list", "--json", "--data-dir", data)
	var list struct{ Items []audit.Record }
	if err := json.Unmarshal([]byte(stdout), &list); err != nil || code != command.ExitOK {
		t.Fatalf("%v in %s", err, stdout)
	}
	var got []string
	for _, r := range list.Items {
		got = append(got, fmt.Sprintf("%s %s %s %d %s", r.Action, r.Stage, r.Result, r.Status, strings.Split(r.Who, " ")[0]))
	}
	want := []string{"token-create end ok 0 user", "reload-config refused  403 deploy", "uninstall refused  403 deploy", "events refused  401 ",
		"reload-config end ok 200 admin", "enable end failed 404 admin", "events refused  401 ", "token-revoke end ok 0 user", "token-revoke end failed 0 user"}
	for _, line := range want {
		if !strings.Contains(strings.Join(got, "\n")+"\n", strings.TrimSuffix(line, "user")) {
			t.Errorf("%q is missing in\n%s", line, strings.Join(got, "\n"))
		}
	}
}

// While the audit log cannot be written, events are published and changes refused.
func TestNoChangeWithoutAudit(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "berth.yaml"), "routes: {}\n", 0o644)
	put(t, filepath.Join(dir, "data", audit.File), "", 0o644) // others could read it
	s := serve(t, dir, filepath.Join(dir, "berth.yaml"))
	if got := s.status(t, s.Token, "POST", "/api/v1/events/reload-config"); got != 503 {
		t.Errorf("reload: got %d", got)
	}
	if got := s.status(t, s.Token, "GET", "/api/v1/events"); got != 200 {
		t.Errorf("list: got %d", got)
	}
	if code, stdout, stderr := berth(t, "token", "create", "--name", "n", "--scope", "read", "--data-dir", filepath.Join(dir, "data")); code == command.ExitOK || stdout != "" || !strings.Contains(stderr, "chmod 600") {
		t.Errorf("token create: got %d, %s, %s", code, stdout, stderr)
	}
	s.terminate(t)
}

func TestListeningBeyondLoopback(t *testing.T) {
	for _, tt := range []struct {
		name, config, listen, want string
		flags                      []string
	}{
		{"everywhere", "{}", "0.0.0.0:0", "server.insecure: true or --insecure", nil},
		{"everywhere, unsaid", "{}", ":0", "reachable from other machines", nil},
		{"everywhere, IPv6", "{}", "[::]:0", "reachable from other machines", nil},
		{"another address", "{}", "192.0.2.1:0", "reachable from other machines", nil},
		// No interface has this address: the error is the system's.
		{"insecure by flag", "{}", "192.0.2.1:0", "bind: ", []string{"--insecure"}},
		{"insecure by configuration", "{server: {insecure: true}}", "192.0.2.1:0", "bind: ", nil},
		{"no certificate", "{server: {tls: {cert_file: no.pem, key_file: no.key}}}", "127.0.0.1:0", "no.pem", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, filepath.Join(dir, "berth.yaml"), tt.config, 0o644)
			args := append([]string{"serve", "--config", filepath.Join(dir, "berth.yaml"), "--data-dir", filepath.Join(dir, "data"), "--listen", tt.listen}, tt.flags...)
			code, _, stderr := berth(t, args...)
			if code != command.ExitFailed || !strings.Contains(stderr, tt.want) {
				t.Errorf("got %d, %s", code, stderr)
			}
		})
	}
}

// selfSigned writes a certificate and its key.
func selfSigned(t *testing.T, cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<60))
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "elsewhere.example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	put(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})), 0o600)
	put(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o644)
}

// The API over TLS: commands of this machine trust exactly the host's own
// certificate, and a new one counts without a restart.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	selfSigned(t, cert, key)
	put(t, filepath.Join(dir, "berth.yaml"), fmt.Sprintf("server: {tls: {cert_file: %q, key_file: %q}}\n", cert, key), 0o644)
	s := serve(t, dir, filepath.Join(dir, "berth.yaml"))
	if !strings.HasPrefix(s.URL, "https://127.0.0.1:") {
		t.Fatalf("the host is at %s", s.URL)
	}
	if got := s.status(t, s.Token, "GET", "/api/v1/events"); got != 200 {
		t.Errorf("got %d", got)
	}
	if resp, err := http.Get(strings.Replace(s.URL, "https", "http", 1) + "/healthz"); err == nil {
		resp.Body.Close()
		if resp.StatusCode != 400 {
			t.Errorf("plain HTTP: got %d", resp.StatusCode)
		}
	}
	if _, err := http.Get(s.URL + "/healthz"); err == nil {
		t.Error("the test's own certificate is trusted without the authority file")
	}
	old := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	if conn, err := tls.Dial("tcp", strings.TrimPrefix(s.URL, "https://"), old); err == nil {
		conn.Close()
		t.Error("TLS 1.1 is spoken")
	}
	selfSigned(t, cert, key)
	data := filepath.Join(dir, "data")
	await(t, "the new certificate is shown", func() error {
		code, _, stderr := berth(t, "events", "list", "--data-dir", data) // it trusts the new one only
		if code != command.ExitOK {
			return errors.New(stderr)
		}
		return nil
	})
	s.terminate(t)
}

// Secrets, of the host and of its tokens, are in no log, no answer, no error and
// no file but their own.
func TestSecretsAreNotPrinted(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	hidden := map[string]string{"granted file": "tops3cret-file", "granted variable": "tops3cret-env", "not granted": "tops3cret-other",
		"readable by others": "tops3cret-mode", "a URL's password": "tops3cret-url", "a URL's query": "tops3cret-query", "a guess": "tops3cret-guess"}
	put(t, filepath.Join(data, "secrets", "from-file"), hidden["granted file"], 0o600)
	put(t, filepath.Join(data, "secrets", "other"), hidden["not granted"], 0o600)
	put(t, filepath.Join(data, "secrets", "mode"), hidden["readable by others"], 0o644)
	t.Setenv("BERTH_SECRET_FROM_ENV", hidden["granted variable"])
	guest, err := os.ReadFile("../../testdata/guests/secret_echo.wasm")
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "plugins", "teller.wasm"), string(guest), 0o644)
	put(t, filepath.Join(dir, "plugins", "teller.wasm.json"), `{"name":"teller","version":"1.0.0","capabilities":[{"name":"secret","names":["from-file","from-env","mode","other"],"reason":"to tell"}]}`, 0o644)
	put(t, filepath.Join(dir, "berth.yaml"), "plugin_directories: [plugins]\nroutes: {tell: {}}\nhandlers:\n  teller: {grants: [{name: secret, names: [from-file, from-env, mode]}]}\n", 0o644)
	s := serve(t, dir, filepath.Join(dir, "berth.yaml"))
	await(t, "the plugin is active", func() error {
		var p struct {
			State  string `json:"state"`
			Reason string `json:"reason"`
		}
		if _, err := s.Call(t.Context(), "GET", "/api/v1/plugins/teller", nil, &p); err != nil || p.State != "active" {
			return fmt.Errorf("%v %v", p, err)
		}
		return nil
	})
	_, made, _ := berth(t, "token", "create", "--name", "n", "--scope", "read", "--data-dir", data)
	hidden["a token"], hidden["the admin token"] = strings.TrimSpace(made), s.Token

	// The guest gets what it is granted, and its answer is its own affair: those
	// two deliveries are the only place where the secrets are.
	for name, want := range map[string]string{"from-file": hidden["granted file"], "from-env": hidden["granted variable"], "mode": "reading the secret mode failed", "other": "is not granted"} {
		body := map[string]any{"event_type": "tell", "data": map[string]string{"name": name}, "metadata": map[string]string{"idempotency_key": name}}
		if _, err := s.Call(t.Context(), "POST", "/api/v1/events", body, new(any)); err != nil {
			t.Fatal(err)
		}
		await(t, "the guest answers "+name, func() error {
			text, err := s.Call(t.Context(), "GET", "/api/v1/events/"+name, nil, new(any))
			if err == nil && !bytes.Contains(text, []byte(want)) {
				err = fmt.Errorf("got %s", text)
			}
			return err
		})
	}
	var seen bytes.Buffer
	for _, request := range []struct{ token, method, path, body string }{
		{s.Token, "GET", "/api/v1/events", ""}, {s.Token, "GET", "/api/v1/events/mode", ""}, {s.Token, "GET", "/api/v1/events/other", ""},
		{s.Token, "GET", "/api/v1/events/plugins", ""}, {s.Token, "GET", "/api/v1/plugins/teller/report", ""}, {hidden["a token"], "GET", "/api/v1/events", ""},
		{s.Token, "POST", "/api/v1/events/reload-config", ""}, {hidden["a token"], "POST", "/api/v1/events/reload-config", ""},
		{hidden["a guess"], "GET", "/api/v1/events", ""},
		{s.Token, "POST", "/api/v1/plugins/install", `{"url":"https://u:` + hidden["a URL's password"] + `@127.0.0.1/x?k=` + hidden["a URL's query"] + `","sha256":"` + strings.Repeat("0", 64) + `"}`},
	} {
		req, err := http.NewRequestWithContext(t.Context(), request.method, s.URL+request.path, strings.NewReader(request.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+request.token)
		req.Header.Set("Content-Type", "application/json")
		resp, err := s.HTTP.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(&seen, resp.Body)
		if err := errors.Join(err, resp.Body.Close(), resp.Header.Write(&seen)); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"token", "list"}, {"audit", "list"}, {"audit", "list", "--json"}, {"plugin", "show", "teller"}} {
		_, stdout, stderr := berth(t, append(args, "--data-dir", data)...)
		seen.WriteString(stdout + stderr)
	}
	s.terminate(t)
	for what, secret := range hidden {
		for where, text := range map[string][]byte{"an answer": seen.Bytes(), "the log": s.log.Bytes()} {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s is in %s", what, where)
			}
		}
	}
	checkNoFileHas(t, data, hidden)
}

// checkNoFileHas checks that no file of the data directory has a hidden text, except for the
// secrets themselves and the guest's answers.
func checkNoFileHas(t *testing.T, data string, hidden map[string]string) {
	t.Helper()
	err := filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(filepath.Dir(path)) == "secrets" || d.Name() == auth.TokenFile {
			return err
		}
		text, err := os.ReadFile(path)
		for what, secret := range hidden {
			echoed := what == "granted file" || what == "granted variable" // the guest's answer
			if bytes.Contains(text, []byte(secret)) && !(echoed && strings.HasPrefix(d.Name(), "berth.db")) {
				t.Errorf("%s is in %s", what, path)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
