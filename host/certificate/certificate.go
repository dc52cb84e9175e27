// Package certificate keeps the host's TLS certificate as its files have it: it
// is read again when they change. It imports the standard library and
// host/fault only.
package certificate

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/berth-host/berth/host/fault"
)

// checkEvery bounds how often the files are looked at, and so how late a change
// counts.
const checkEvery = time.Second

// Files is a certificate with its key, in two PEM files. It is safe for
// concurrent use.
type Files struct {
	cert, key string
	logger    *slog.Logger

	mu      sync.Mutex
	pair    *tls.Certificate
	state   [2]fileState // of the files that pair came from, or that were bad
	checked time.Time
}

// fileState tells one content of a file from another.
type fileState struct {
	modified time.Time
	size     int64
}

// Load reads the pair. fault.Invalid names the files and what is wrong with them.
func Load(certFile, keyFile string, logger *slog.Logger) (*Files, error) {
	f := &Files{cert: certFile, key: keyFile, logger: logger}
	var err error
	if f.state, err = f.look(); err != nil {
		return nil, fault.New(fault.Invalid, "server.tls: %w", err)
	}
	if f.pair, err = f.read(); err != nil {
		return nil, err
	}
	f.checked = time.Now()
	return f, nil
}

// TLS returns a server's configuration with this certificate: TLS 1.2 or 1.3.
func (f *Files) TLS() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.current(), nil },
	}
}

// current is the newest good pair. A pair that is bad, or half replaced, leaves
// the former one in use, and is reported once.
func (f *Files) current() *tls.Certificate {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if now.Sub(f.checked) < checkEvery {
		return f.pair
	}
	f.checked = now
	state, err := f.look()
	if err != nil || state == f.state {
		return f.pair // files that are away for a moment are being replaced
	}
	f.state = state
	pair, err := f.read()
	if err != nil {
		f.logger.Error("the new TLS certificate is not used; the former one stays", "error", err)
		return f.pair
	}
	f.pair = pair
	f.logger.Info("the TLS certificate was read again", "cert_file", f.cert)
	return f.pair
}

func (f *Files) look() ([2]fileState, error) {
	var state [2]fileState
	for i, path := range []string{f.cert, f.key} {
		info, err := os.Stat(path)
		if err != nil {
			return state, err
		}
		state[i] = fileState{info.ModTime(), info.Size()}
	}
	return state, nil
}

func (f *Files) read() (*tls.Certificate, error) {
	bad := func(err error) error {
		return fault.New(fault.Invalid, "server.tls: cert_file %s and key_file %s are no pair: %w", f.cert, f.key, err)
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, bad(err)
	}
	if pair.Leaf != nil && time.Now().After(pair.Leaf.NotAfter) {
		return nil, bad(fmt.Errorf("the certificate has expired on %s", pair.Leaf.NotAfter.Format(time.DateOnly)))
	}
	return &pair, nil
}

// Expires is when the pair in use is good no more; zero when that is not known.
func (f *Files) Expires() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pair.Leaf == nil {
		return time.Time{}
	}
	return f.pair.Leaf.NotAfter
}
