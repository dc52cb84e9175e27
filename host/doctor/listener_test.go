package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/config"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pair writes a certificate that is valid for a while, and its key.
func pair(t *testing.T, dir string, good time.Duration) config.TLS {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "berth"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(good)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	files := config.TLS{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	check(t, os.WriteFile(files.CertFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600))
	check(t, os.WriteFile(files.KeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	return files
}

// The doctor finds every reason for which a host would not listen.
func TestExamineListener(t *testing.T) {
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	check(t, err)
	defer taken.Close()
	long, short := pair(t, t.TempDir(), 99*24*time.Hour), pair(t, t.TempDir(), time.Hour)
	for _, tt := range []struct {
		name    string
		server  config.Server
		running bool
		level   Level
		want    string
	}{
		{"free", config.Server{Listen: "127.0.0.1:0"}, false, OK, "is free"},
		{"taken", config.Server{Listen: taken.Addr().String()}, false, Warning, "in use"},
		{"taken by the host", config.Server{Listen: taken.Addr().String()}, true, OK, ""},
		{"open", config.Server{Listen: "0.0.0.0:0"}, false, Problem, "reachable from other machines"},
		{"open by a flag", config.Server{Listen: "0.0.0.0:0"}, true, OK, ""},
		{"open and said so", config.Server{Listen: "0.0.0.0:0", Insecure: true}, false, OK, "is free"},
		{"TLS", config.Server{Listen: "0.0.0.0:0", TLS: long}, false, OK, "with a certificate until"},
		{"TLS that ends soon", config.Server{Listen: "127.0.0.1:0", TLS: short}, true, Warning, "until"},
		{"no certificate", config.Server{Listen: "127.0.0.1:0", TLS: config.TLS{CertFile: "none.pem", KeyFile: long.KeyFile}}, false, Problem, "none.pem"},
		{"no pair", config.Server{Listen: "127.0.0.1:0", TLS: config.TLS{CertFile: long.CertFile, KeyFile: short.KeyFile}}, true, Problem, "are not a valid pair"},
		{"no address", config.Server{Listen: "127.0.0.1:no"}, false, Problem, "127.0.0.1:no"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		f := Examination{}.listener(ctx, tt.server, tt.running)
		cancel()
		if f.Check != "listener" || f.Level != tt.level || !strings.Contains(f.Detail, tt.want) || f.Level != OK && f.Advice == "" {
			t.Errorf("%s: got %+v, want %s with %q", tt.name, f, tt.level, tt.want)
		}
	}
}
