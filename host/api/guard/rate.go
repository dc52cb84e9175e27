package guard

import (
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/berth-host/berth/host/api/problem"
	"github.com/berth-host/berth/host/fault"
)

// RateLimit bounds the requests of one token. The zero value is no limit.
type RateLimit struct {
	PerSecond float64 // requests; 0 is no limit
	Burst     int     // requests at once; 0 is what comes in a second, at least 1
}

// The rates of one address without a valid token. Requests with a valid token do not
// count, so that other clients at the same address cannot exclude them.
const (
	anonymousRate, anonymousBurst = 100, 200 // health checks, the console's files, unknown hosts
	failureRate, failureBurst     = 5, 20    // missing and wrong tokens
	maxBuckets                    = 4096     // addresses, and tokens, with a bucket of their own at a time
)

// limits are the server's token buckets.
type limits struct {
	tokens    *buckets // by token id
	anonymous *buckets // by address
	failures  *buckets // by address
}

func newLimits(perToken RateLimit) limits {
	burst := perToken.Burst
	if burst <= 0 {
		burst = max(1, int(math.Ceil(perToken.PerSecond)))
	}
	return limits{
		tokens:    newBuckets(perToken.PerSecond, burst, "this token"),
		anonymous: newBuckets(anonymousRate, anonymousBurst, "this address"),
		failures:  newBuckets(failureRate, failureBurst, "requests without a valid token from this address"),
	}
}

// buckets are token buckets by key. Their number is bounded: keys beyond maxKeys share
// the overflow bucket. It is safe for concurrent use.
type buckets struct {
	rate    rate.Limit
	burst   int
	whose   string
	maxKeys int
	now     func() time.Time

	mu       sync.Mutex
	byKey    map[string]*rate.Limiter
	overflow *rate.Limiter // shared by the keys beyond maxKeys
	swept    time.Time
}

// newBuckets returns nil, which admits everything, for the rate 0.
func newBuckets(perSecond float64, burst int, whose string) *buckets {
	if perSecond <= 0 {
		return nil
	}
	return &buckets{rate: rate.Limit(perSecond), burst: burst, whose: whose, maxKeys: maxBuckets, now: time.Now,
		byKey: make(map[string]*rate.Limiter), overflow: rate.NewLimiter(rate.Limit(perSecond), burst)}
}

// take counts one request of the key. It returns a refusal with 429 when the key's bucket
// is empty.
func (b *buckets) take(key string) error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	now := b.now()
	bucket := b.byKey[key]
	if bucket == nil {
		bucket = b.add(key, now)
	}
	r := bucket.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	b.mu.Unlock()
	if wait <= 0 {
		return nil
	}
	seconds := max(1, int64(math.Ceil(wait.Seconds())))
	return &problem.Refusal{
		Status: http.StatusTooManyRequests,
		Header: [2]string{"Retry-After", strconv.FormatInt(seconds, 10)},
		Err: fault.New(fault.Exhausted, "there are too many requests: %s may make %g a second; try again after %d s", b.whose,
			float64(b.rate), seconds),
	}
}

// add makes a bucket for a new key. At maxKeys it first evicts the full buckets, at most
// once a second: a full bucket limits nothing.
func (b *buckets) add(key string, now time.Time) *rate.Limiter {
	if len(b.byKey) >= b.maxKeys && now.Sub(b.swept) >= time.Second {
		b.swept = now
		for k, bucket := range b.byKey {
			if bucket.TokensAt(now) >= float64(b.burst) {
				delete(b.byKey, k)
			}
		}
	}
	if len(b.byKey) >= b.maxKeys {
		return b.overflow
	}
	bucket := rate.NewLimiter(b.rate, b.burst)
	b.byKey[key] = bucket
	return bucket
}

// remoteOf returns the client of a connection: its IPv4 address, or its IPv6 network of
// 64 bits, which belongs to one subscriber. Headers of proxies are ignored.
func remoteOf(r *http.Request) string {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	ip := at.Addr().Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	network, err := ip.Prefix(64)
	if err != nil {
		return ""
	}
	return network.String()
}
