package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berth-host/berth/cmd/cluster/internal/check"
)

// Recorder is the log of attempts outside of the hosts: an HTTP server that handlers post the
// begin and the end of every attempt to. It is safe for concurrent use.
type Recorder struct {
	server   http.Server
	listener net.Listener
	clock    func() time.Duration
	work     time.Duration // how long an attempt takes
	running  sync.WaitGroup

	mu      sync.Mutex
	records []check.Record
	refuses func(check.Record) bool // nil: nothing
	module  []byte
}

// NewRecorder starts a recorder whose answers to begins take as long as work.
func NewRecorder(clock func() time.Duration, work time.Duration) (*Recorder, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Recorder{listener: listener, clock: clock, work: work}
	r.server.Handler, r.server.ReadHeaderTimeout = r, 10*time.Second
	r.running.Go(func() { _ = r.server.Serve(listener) })
	return r, nil
}

// Address returns where it listens, as host:port.
func (r *Recorder) Address() string { return r.listener.Addr().String() }

// Close ends the server.
func (r *Recorder) Close() error {
	err := r.server.Close()
	r.running.Wait()
	return err
}

// Records returns what was written until now.
func (r *Recorder) Records() []check.Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.records)
}

// Refuse has the recorder refuse begins, which it does not write down then; nil ends it.
func (r *Recorder) Refuse(which func(check.Record) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuses = which
}

// Offer answers every GET with a module.
func (r *Recorder) Offer(module []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.module = module
}

func (r *Recorder) refused(rec check.Record) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refuses != nil && r.refuses(rec)
}

func (r *Recorder) add(rec check.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = append(r.records, rec)
}

// ServeHTTP implements http.Handler: POST /HOST/HANDLER/begin, /end or /failed with the text
// "KEY N ATTEMPT".
func (r *Recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method == http.MethodGet {
		r.mu.Lock()
		module := r.module
		r.mu.Unlock()
		_, _ = w.Write(module) // the host sees by the digest what is missing
		return
	}
	rec, err := parse(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if rec.What == check.Begin && r.refused(rec) {
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	rec.At = r.clock()
	r.add(rec)
	if rec.What != check.Begin || r.work <= 0 {
		return
	}
	timer := time.NewTimer(r.work)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-req.Context().Done(): // the attempt was cancelled, or its host was killed
		if errors.Is(req.Context().Err(), context.Canceled) {
			rec.At, rec.What = r.clock(), check.Gone
			r.add(rec)
		}
	}
}

func parse(req *http.Request) (rec check.Record, err error) {
	parts := strings.Split(strings.TrimPrefix(req.URL.Path, "/"), "/")
	if len(parts) != 3 {
		return rec, fmt.Errorf("the path %q is not /HOST/HANDLER/WHAT", req.URL.Path)
	}
	rec.Host, rec.Handler, rec.What = parts[0], parts[1], check.What(parts[2])
	if rec.What != check.Begin && rec.What != check.End && rec.What != check.Failed {
		return rec, fmt.Errorf("%q is neither begin, end nor failed", parts[2])
	}
	body, err := io.ReadAll(io.LimitReader(req.Body, 1024))
	if err != nil {
		return rec, err
	}
	if _, err := fmt.Sscanf(string(body), "%s %d %d", &rec.Key, &rec.N, &rec.Attempt); err != nil {
		return rec, fmt.Errorf("the body %q is not KEY N ATTEMPT: %w", body, err)
	}
	return rec, nil
}
