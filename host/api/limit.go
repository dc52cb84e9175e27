package api

import (
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/berth-host/berth/host/fault"
)

// RateLimit bounds what one token may ask. The zero value does not.
type RateLimit struct {
	PerSecond float64 // requests; 0 is no limit
	Burst     int     // requests at once; 0 is what comes in a second, at least 1
}

// What one address may ask without a valid token. A wrong token costs its
// sender, and nobody else: who has a right one is not kept out by others at the
// same address.
const (
	anonymousRate, anonymousBurst = 100, 200 // health checks, the console's files, unknown hosts
	failureRate, failureBurst     = 5, 20    // missing and wrong tokens
	maxBuckets                    = 4096     // addresses, and tokens, that are told apart at a time
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

// buckets are token buckets by key. It is bounded: when there are too many keys
// at a time, the ones that come last share a bucket.
type buckets struct {
	rate  rate.Limit
	burst int
	whose string
	most  int
	now   func() time.Time

	mu    sync.Mutex
	byKey map[string]*rate.Limiter
	rest  *rate.Limiter // of the keys for which there is no room
	swept time.Time
}

// newBuckets returns nil, which lets everything through, for the rate 0.
func newBuckets(perSecond float64, burst int, whose string) *buckets {
	if perSecond <= 0 {
		return nil
	}
	return &buckets{rate: rate.Limit(perSecond), burst: burst, whose: whose, most: maxBuckets, now: time.Now,
		byKey: make(map[string]*rate.Limiter), rest: rate.NewLimiter(rate.Limit(perSecond), burst)}
}

// take takes one request out of the key's bucket, or says that it is empty: 429.
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
	return &refusal{
		status: http.StatusTooManyRequests,
		header: [2]string{"Retry-After", strconv.FormatInt(seconds, 10)},
		error:  fault.New(fault.Exhausted, "there are too many requests: %s may make %g a second; try again after %d s", b.whose, float64(b.rate), seconds),
	}
}

// add makes a bucket for a new key. A bucket that is full again is as good as
// none and makes room; they are looked for once a second at most.
func (b *buckets) add(key string, now time.Time) *rate.Limiter {
	if len(b.byKey) >= b.most && now.Sub(b.swept) >= time.Second {
		b.swept = now
		for k, bucket := range b.byKey {
			if bucket.TokensAt(now) >= float64(b.burst) {
				delete(b.byKey, k)
			}
		}
	}
	if len(b.byKey) >= b.most {
		return b.rest
	}
	bucket := rate.NewLimiter(b.rate, b.burst)
	b.byKey[key] = bucket
	return bucket
}

// remoteOf is whom a connection comes from: an IPv4 address, or the IPv6 network
// of 64 bits that one subscriber has. No header is believed.
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
