// Package traffic counts the requests of the API by endpoint, with their status and
// duration. A Recorder holds the lock of one endpoint for the time of a few additions.
package traffic

import (
	"cmp"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/histogram"
)

// Unknown is the path of requests for which there is no endpoint.
const Unknown = "unknown"

// Recorder counts requests. It is safe for concurrent use.
type Recorder struct {
	Streams atomic.Int64 // event streams that are open

	mu        sync.RWMutex
	endpoints map[endpoint]*counts
}

type endpoint struct{ method, path string }

type counts struct {
	sync.Mutex
	requests Requests
}

// Requests are the requests of one endpoint since the start.
type Requests struct {
	Method, Path string              // the path has parameters as :name
	Classes      [6]uint64           // by status/100
	Refused      [3]uint64           // with 401, 403 and 429
	Duration     histogram.Histogram // in nanoseconds; of answers that are not streams
}

// New returns a recorder without requests.
func New() *Recorder { return &Recorder{endpoints: make(map[endpoint]*counts)} }

// Observe counts an answered request. The path is that of an endpoint, "" for none; of
// which the number is bounded by the server's routes. streamed leaves the duration out,
// which is that of the client's interest.
func (r *Recorder) Observe(method, path string, status int, took time.Duration, streamed bool) {
	if path == "" {
		method, path = "any", Unknown // methods are the clients' words
	}
	c := r.counts(endpoint{method, path})
	c.Lock()
	defer c.Unlock()
	if class := status / 100; class >= 0 && class < len(c.requests.Classes) {
		c.requests.Classes[class]++
	}
	if i := slices.Index([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests}, status); i >= 0 {
		c.requests.Refused[i]++
	}
	if !streamed {
		c.requests.Duration.Observe(uint64(max(0, took)))
	}
}

func (r *Recorder) counts(e endpoint) *counts {
	r.mu.RLock()
	c := r.endpoints[e]
	r.mu.RUnlock()
	if c != nil {
		return c
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c = r.endpoints[e]; c == nil {
		c = &counts{requests: Requests{Method: e.method, Path: e.path}}
		r.endpoints[e] = c
	}
	return c
}

// List returns the requests of every endpoint that had any, sorted by path and method.
func (r *Recorder) List() []Requests {
	r.mu.RLock()
	all := make([]*counts, 0, len(r.endpoints))
	for _, c := range r.endpoints {
		all = append(all, c)
	}
	r.mu.RUnlock()
	list := make([]Requests, len(all))
	for i, c := range all {
		c.Lock()
		list[i] = c.requests
		c.Unlock()
	}
	slices.SortFunc(list, func(a, b Requests) int { return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method)) })
	return list
}
