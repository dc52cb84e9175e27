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

func (r *Recorder) add(rec check.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = append(r.records, rec)
}

// ServeHTTP implements http.Handler: POST /HOST/HANDLER/begin, /end or /failed with the text
// "KEY N ATTEMPT".
func (r *Recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	rec, err := parse(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
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
