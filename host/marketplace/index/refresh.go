package index

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/marketplace/format"
)

const (
	fetches  = 6        // at a time
	maxPages = 24 << 20 // bytes of all pages together
)

// refresh is a refresh under way. err is set when done is closed.
type refresh struct {
	done chan struct{}
	err  error
}

// snapshot is a verified root with its pages. It is immutable.
type snapshot struct {
	root     format.Root
	signer   string // the key in base64; "" if unsigned
	rootText []byte
	rootSig  []byte
	texts    map[string][]byte // of the pages, by path
	pages    []format.Page     // by name, then publisher
	fetched  time.Time         // when it was last confirmed

	revoked  map[string]string    // why, by digest and by publisher/name@version
	appeared map[string]time.Time // first appearance of releases, by idOf
}

func (s *snapshot) page(publisher, name string) (format.Page, bool) {
	i := slices.IndexFunc(s.pages, func(p format.Page) bool { return p.Publisher == publisher && p.Name == name })
	if i < 0 {
		return format.Page{}, false
	}
	return s.pages[i], true
}

func (s *snapshot) expired(now time.Time) bool { return !now.Before(s.root.Expires) }

// start begins a refresh, or joins the one under way. The caller holds c.mu.
func (c *Client) start() *refresh {
	if c.running != nil {
		return c.running
	}
	r := &refresh{done: make(chan struct{})}
	if c.ctx.Err() != nil {
		r.err = fault.New(fault.Unavailable, "the marketplace's client is closed")
		close(r.done)
		return r
	}
	c.running = r
	old := c.current
	c.live.Go(func() {
		ctx, cancel := context.WithTimeout(c.ctx, c.cfg.RefreshTimeout)
		defer cancel()
		next, err := c.fetch(ctx, old)
		c.mu.Lock()
		if err == nil {
			err = c.accept(next)
		}
		c.failed, c.problem = time.Time{}, nil
		if err != nil {
			c.failed, c.problem = c.cfg.Now(), err
		}
		r.err, c.running = err, nil
		c.mu.Unlock()
		if err == nil {
			c.cfg.Refreshed()
		}
		close(r.done)
	})
	return r
}

// fetch fetches the marketplace's root and the pages that old lacks. It verifies
// everything and stores nothing.
func (c *Client) fetch(ctx context.Context, old *snapshot) (*snapshot, error) {
	s := c.cfg.Fetcher.Session()
	defer s.Close()
	next, err := c.fetchRoot(ctx, s)
	if is(err, format.BadSignature, format.WrongKey) {
		// The two files are replaced one after the other: the fetch may have been in between.
		next, err = c.fetchRoot(ctx, s)
	}
	if err != nil {
		return nil, err
	}
	full, err := c.complete(ctx, s, next, old)
	if is(err, format.WrongDigest, format.WrongSize, format.Absent) {
		// The same applies to the list and its pages, if there is a new list now.
		if again, problem := c.fetchRoot(ctx, s); problem == nil && string(again.rootText) != string(next.rootText) {
			full, err = c.complete(ctx, s, again, old)
		}
	}
	return full, err
}

// is reports whether an error is a refusal of one of these kinds.
func is(err error, kinds ...format.Kind) bool {
	var kind format.Kind
	return errors.As(err, &kind) && slices.Contains(kinds, kind)
}

// complete fetches the pages of a root that old lacks.
func (c *Client) complete(ctx context.Context, s *marketplace.Session, next, old *snapshot) (*snapshot, error) {
	c.mu.Lock()
	err := c.newer(next)
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if old == nil {
		old = &snapshot{}
	}
	var missing []string
	total := int64(0)
	for path, file := range next.root.Files {
		if _, _, ok := format.ParsePagePath(path); !ok {
			continue
		}
		if total += file.Size; file.Size > format.MaxPage || total > maxPages {
			return nil, c.wrap(path, format.Refuse(format.TooLarge, "a page over the limit of %d bytes, or all of them over that of %d",
				int64(format.MaxPage), int64(maxPages)))
		}
		text, ok := old.texts[path]
		if ok && file.Check(path, text) == nil {
			next.texts[path] = text
			continue
		}
		missing = append(missing, path)
	}
	if len(missing)+len(next.texts) > format.MaxPages {
		return nil, c.wrap(format.RootPath, format.Refuse(format.TooLarge, "%d plugins are over the limit of %d",
			len(missing)+len(next.texts), format.MaxPages))
	}
	if err := c.fetchPages(ctx, s, next, missing); err != nil {
		return nil, err
	}
	return next, c.parsePages(next)
}

// fetchRoot fetches the root and verifies its signature.
func (c *Client) fetchRoot(ctx context.Context, s *marketplace.Session) (*snapshot, error) {
	sig, err := s.Get(ctx, c.base+format.RootPath+format.SigSuffix, format.MaxSignature)
	switch {
	case errors.Is(err, marketplace.ErrAbsent):
		sig = nil
	case err != nil:
		return nil, c.wrap(format.RootPath+format.SigSuffix, err)
	}
	text, err := s.Get(ctx, c.base+format.RootPath, format.MaxRoot)
	if err != nil {
		return nil, c.wrap(format.RootPath, err)
	}
	return c.verifyRoot(text, sig)
}

// verifyRoot verifies a root's signature, then parses it.
func (c *Client) verifyRoot(text, sig []byte) (*snapshot, error) {
	next := &snapshot{rootText: text, rootSig: sig, texts: map[string][]byte{}}
	// Without keys a signature cannot be verified. With keys only a root without a signature
	// counts as unsigned: a wrong signature is never accepted.
	if !c.cfg.AllowUnsigned || len(c.keys) > 0 && sig != nil {
		key, err := format.Verify(format.RootPath, text, sig, c.keys)
		if err != nil {
			return nil, c.wrap("", advise(err))
		}
		next.signer = key.String()
	}
	var err error
	if next.root, err = format.ParseRoot(text); err != nil {
		return nil, c.wrap("", err)
	}
	return next, nil
}

// advise adds to the error of a root's signature what to do.
func advise(err error) error {
	var kind format.Kind
	if errors.As(err, &kind) {
		switch kind {
		case format.NoKey:
			return format.Refuse(kind, "marketplace.trusted_keys is empty: no key is trusted to sign root.json")
		case format.WrongKey:
			return format.Refuse(kind, "%v; if it is the marketplace's new key, add it to marketplace.trusted_keys", err)
		}
	}
	return err
}

// fetchPages fetches pages concurrently and verifies their digests.
func (c *Client) fetchPages(ctx context.Context, s *marketplace.Session, next *snapshot, paths []string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan string)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range min(fetches, len(paths)) {
		wg.Go(func() {
			for path := range work {
				file := next.root.Files[path]
				text, err := s.Get(ctx, c.base+path, file.Size)
				switch {
				case errors.Is(err, marketplace.ErrAbsent):
					err = format.Refuse(format.Absent, "%s: is listed, and is not there", path)
				case fault.Is(err, fault.Exhausted):
					err = format.Refuse(format.WrongSize, "%s: is larger than the %d bytes that were signed", path, file.Size)
				case err == nil:
					err = file.Check(path, text)
				}
				if err != nil {
					cancel(c.wrap("", err))
					return
				}
				mu.Lock()
				next.texts[path] = text
				mu.Unlock()
			}
		})
	}
feed:
	for _, path := range paths {
		select {
		case work <- path:
		case <-ctx.Done():
			break feed
		}
	}
	close(work)
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			return c.wrap("", fault.New(fault.Timeout, "its pages did not arrive in time"))
		}
		return err
	}
	return nil
}

// parsePages parses the pages of a snapshot, whose digests were verified.
func (c *Client) parsePages(next *snapshot) error {
	keys := map[string]string{}
	for _, path := range slices.Sorted(maps.Keys(next.texts)) {
		publisher, name, _ := format.ParsePagePath(path)
		page, err := format.ParsePage(publisher, name, next.texts[path])
		if err != nil {
			return c.wrap("", err)
		}
		if page.Key == "" && !c.cfg.AllowUnsigned {
			return c.wrap("", format.Refuse(format.NoKey, "%s: names no key that signs the publisher's releases", path))
		}
		if key, ok := keys[publisher]; ok && key != page.Key {
			return c.wrap("", format.Refuse(format.KeyConflict, "%s: names another key than the publisher's other pages", path))
		}
		keys[publisher] = page.Key
		next.pages = append(next.pages, page)
	}
	next.revoked = map[string]string{}
	for _, r := range slices.Backward(next.root.Revoked) { // of two, the first counts
		next.revoked[r.SHA256+r.Release] = r.Reason
	}
	slices.SortFunc(next.pages, func(a, b format.Page) int { return comparePositions(positionOf(a), positionOf(b)) })
	return nil
}

// accept makes a snapshot the current list and stores it, unless a newer one was seen.
// The caller holds c.mu.
func (c *Client) accept(next *snapshot) error {
	if err := c.newer(next); err != nil {
		return err
	}
	next.fetched = c.cfg.Now().UTC()
	next.appeared = appeared(c.current, next)
	to := c.state.with(c.identity(next), c.base, next)
	if err := to.write(c.cfg.State); err != nil {
		return err
	}
	to.List = nil // next contains it
	c.state, c.current = to, next
	return nil
}
