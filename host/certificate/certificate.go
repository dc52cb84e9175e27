// Package certificate loads the host's TLS certificate and reloads it when its
// files change. It imports the standard library and host/fault only.
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

// checkEvery is the minimum interval between checks of the files, and so the
// maximum delay of a change.
const checkEvery = time.Second

// Files is a certificate and its key in two PEM files. It is safe for concurrent
// use.
type Files struct {
	cert, key string
	logger    *slog.Logger

	mu      sync.Mutex
	pair    *tls.Certificate
	state   [2]fileState // of the files read last, good or bad
	checked time.Time
}

// fileState identifies the content of a file.
type fileState struct {
	modified time.Time
	size     int64
}

// Load reads the certificate and its key. fault.Invalid names the files and the problem.
func Load(certFile, keyFile string, logger *slog.Logger) (*Files, error) {
	f := &Files{cert: certFile, key: keyFile, logger: logger}
	var err error
	if f.state, err = f.stat(); err != nil {
		return nil, fault.New(fault.Invalid, "server.tls: %w", err)
	}
	if f.pair, err = f.read(); err != nil {
		return nil, err
	}
	f.checked = time.Now()
	return f, nil
}

// TLS returns a server configuration with this certificate, for TLS 1.2 and 1.3.
func (f *Files) TLS() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.current(), nil },
	}
}

// current returns the newest valid pair. An invalid or half replaced pair is logged
// once, and the former one stays in use.
func (f *Files) current() *tls.Certificate {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if now.Sub(f.checked) < checkEvery {
		return f.pair
	}
	f.checked = now
	state, err := f.stat()
	if err != nil || state == f.state {
		return f.pair // missing files are being replaced
	}
	f.state = state
	pair, err := f.read()
	if err != nil {
		f.logger.Error("new TLS certificate is not used; the former one stays in use", "error", err)
		return f.pair
	}
	f.pair = pair
	f.logger.Info("TLS certificate reloaded", "path", f.cert)
	return f.pair
}

func (f *Files) stat() ([2]fileState, error) {
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
		return fault.New(fault.Invalid, "server.tls: cert_file %s and key_file %s are not a valid pair: %w", f.cert, f.key, err)
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, bad(err)
	}
	if pair.Leaf != nil && time.Now().After(pair.Leaf.NotAfter) {
		return nil, bad(fmt.Errorf("the certificate expired on %s", pair.Leaf.NotAfter.Format(time.DateOnly)))
	}
	return &pair, nil
}

// Expires returns when the certificate in use expires; zero when that is unknown.
func (f *Files) Expires() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pair.Leaf == nil {
		return time.Time{}
	}
	return f.pair.Leaf.NotAfter
}
