package certificate

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/fault"
)

// makePair writes a self-signed certificate with this serial number, and its key.
func makePair(t *testing.T, cert, key string, serial int64, expires time.Time) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "berth"}, NotBefore: expires.Add(-time.Hour), NotAfter: expires,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err := errors.Join(err,
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func serial(t *testing.T, c *tls.Certificate) int64 {
	t.Helper()
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf.SerialNumber.Int64()
}

func TestChangedFilesAreReloaded(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	later := time.Now().Add(time.Hour)
	makePair(t, cert, key, 1, later)
	var log bytes.Buffer
	f, err := Load(cert, key, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	current := func() int64 {
		f.checked = time.Time{} // as if the last check was long ago
		c, err := f.TLS().GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return serial(t, c)
	}
	if f.TLS().MinVersion != tls.VersionTLS12 || current() != 1 {
		t.Error("the first certificate is not in use")
	}
	age := func() { // so that the time differs on any file system
		f.state[0].modified = time.Time{}
	}
	makePair(t, cert, key, 2, later)
	if age(); current() != 2 {
		t.Error("the second certificate is not in use")
	}
	for name, spoil := range map[string]func(){
		"another key": func() { makePair(t, filepath.Join(dir, "other.pem"), key, 3, later) },
		"no PEM":      func() { _ = os.WriteFile(cert, []byte("x"), 0o600) },
		"expired":     func() { makePair(t, cert, key, 4, time.Now().Add(-time.Minute)) },
		"no file":     func() { _ = os.Remove(cert) },
	} {
		makePair(t, cert, key, 2, later)
		age()
		current()
		log.Reset()
		spoil()
		age()
		for range 2 { // the second time the state is known
			if current() != 2 {
				t.Errorf("%s: the invalid pair is in use", name)
			}
		}
		if n := strings.Count(log.String(), "is not used"); name != "no file" && n != 1 {
			t.Errorf("%s: reported %d times", name, n)
		}
	}
	makePair(t, cert, key, 5, later)
	if age(); current() != 5 {
		t.Error("a valid certificate after invalid ones is not in use")
	}
}

func TestLoadErrorNamesFiles(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	if _, err := Load(cert, key, slog.Default()); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), cert) {
		t.Errorf("no file: got %v", err)
	}
	makePair(t, cert, key, 1, time.Now().Add(time.Hour))
	makePair(t, filepath.Join(dir, "x"), key, 1, time.Now().Add(time.Hour))
	if _, err := Load(cert, key, slog.Default()); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), cert) || !strings.Contains(err.Error(), key) {
		t.Errorf("no pair: got %v", err)
	}
	makePair(t, cert, key, 1, time.Now().Add(-time.Hour))
	if _, err := Load(cert, key, slog.Default()); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "expired") {
		t.Errorf("expired: got %v", err)
	}
}
