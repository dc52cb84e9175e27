// Package session keeps the sessions of browsers that have logged in, and the codes of links
// that log in once. Both are in memory: they end with the host. Only their SHA-256 is kept.
//
// A session is as good as the token it was begun with, and ends as soon as that is revoked
// or expires. The cookie carries a random id of 256 bits. Every login makes a
// new one: an id that a page has planted in the browser never becomes a session.
package session

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"time"

	"github.com/berth-host/berth/host/spec"
)

// The bounds of sessions and codes.
const (
	Idle        = 12 * time.Hour     // without a request, after which a session ends
	Life        = 7 * 24 * time.Hour // after which a session ends in any case
	Max         = 1000               // sessions at once; the one that was used longest ago ends for a new one
	MaxPerToken = 100                // likewise, of one token
	CodeLife    = 10 * time.Minute   // of a code that was not used
	maxCodes    = 16                 // codes at once; the oldest one ends for a new one
)

// Tokens knows the tokens.
type Tokens interface {
	Verify(secret string) (spec.Token, bool)
	// Valid reports whether a token that Verify returned is still valid.
	Valid(t spec.Token) bool
}

// Session is what a cookie stands for.
type Session struct {
	Token   spec.Token
	Expires time.Time // unless it is used before
}

// Sessions keeps sessions and codes. It is safe for concurrent use; its lock is held for the
// time of a look-up.
type Sessions struct {
	tokens Tokens
	now    func() time.Time

	mu    sync.Mutex
	byKey map[key]*entry
	codes map[key]code
}

// key is the SHA-256 of an id or a code.
type key [sha256.Size]byte

type entry struct {
	token       spec.Token
	begun, used time.Time
}

// expires returns when the session ends without further use.
func (e *entry) expires() time.Time {
	end := e.begun.Add(Life)
	if idle := e.used.Add(Idle); idle.Before(end) {
		return idle
	}
	return end
}

type code struct {
	token spec.Token
	until time.Time
}

// New returns an empty Sessions. A nil clock is time.Now.
func New(tokens Tokens, now func() time.Time) *Sessions {
	if now == nil {
		now = time.Now
	}
	return &Sessions{tokens: tokens, now: now, byKey: make(map[key]*entry), codes: make(map[key]code)}
}

// Verify returns the token with this secret; false when there is none.
func (s *Sessions) Verify(secret string) (spec.Token, bool) { return s.tokens.Verify(secret) }

// secret returns 256 random bits as text, and their key.
func secret() (string, key) {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	text := base64.RawURLEncoding.EncodeToString(b[:])
	return text, keyOf(text)
}

func keyOf(text string) key { return sha256.Sum256([]byte(text)) }

// Begin begins a session of a token, and returns the id for its cookie.
func (s *Sessions) Begin(token spec.Token) (id string, begun Session) {
	id, k := secret()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.evict(token.ID, now)
	e := &entry{token: token, begun: now, used: now}
	s.byKey[k] = e
	return id, Session{Token: token, Expires: e.expires()}
}

// evict removes sessions that have ended, and makes capacity for one of a token. The caller
// holds mu.
func (s *Sessions) evict(tokenID string, now time.Time) {
	own := 0
	var oldest, oldestOwn key
	var used, usedOwn time.Time
	for k, e := range s.byKey {
		if !now.Before(e.expires()) {
			delete(s.byKey, k)
			continue
		}
		if used.IsZero() || e.used.Before(used) {
			oldest, used = k, e.used
		}
		if e.token.ID == tokenID {
			if own++; usedOwn.IsZero() || e.used.Before(usedOwn) {
				oldestOwn, usedOwn = k, e.used
			}
		}
	}
	switch {
	case own >= MaxPerToken:
		delete(s.byKey, oldestOwn)
	case len(s.byKey) >= Max:
		delete(s.byKey, oldest)
	}
}

// Find returns the session with this id, and counts as its use; false when there is none,
// it has ended, or its token is no longer valid.
func (s *Sessions) Find(id string) (Session, bool) { return s.find(id, true) }

// Lasts reports whether there is a session with this id, without counting as its use.
func (s *Sessions) Lasts(id string) bool {
	_, found := s.find(id, false)
	return found
}

func (s *Sessions) find(id string, use bool) (Session, bool) {
	k := keyOf(id)
	s.mu.Lock()
	e := s.byKey[k]
	if e == nil {
		s.mu.Unlock()
		return Session{}, false
	}
	now := s.now()
	ended := !now.Before(e.expires())
	if use && !ended && now.After(e.used) {
		e.used = now
	}
	found := Session{Token: e.token, Expires: e.expires()}
	s.mu.Unlock()
	if ended || !s.tokens.Valid(found.Token) { // which may read files
		s.end(k)
		return Session{}, false
	}
	return found, true
}

// End ends the session with this id, if there is one.
func (s *Sessions) End(id string) { s.end(keyOf(id)) }

func (s *Sessions) end(k key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byKey, k)
}

// NewCode returns a code that logs in once as a token, and until when.
func (s *Sessions) NewCode(token spec.Token) (text string, until time.Time) {
	text, k := secret()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	var oldest key
	var first time.Time
	for k, c := range s.codes {
		if !now.Before(c.until) {
			delete(s.codes, k)
		} else if first.IsZero() || c.until.Before(first) {
			oldest, first = k, c.until
		}
	}
	if len(s.codes) >= maxCodes {
		delete(s.codes, oldest)
	}
	until = now.Add(CodeLife)
	s.codes[k] = code{token: token, until: until}
	return text, until
}

// Redeem returns the token of a code, and forgets the code. False: there is no such code, it
// was used, it is too old, or its token is no longer valid.
func (s *Sessions) Redeem(text string) (spec.Token, bool) {
	k := keyOf(text)
	s.mu.Lock()
	c, found := s.codes[k]
	delete(s.codes, k)
	now := s.now()
	s.mu.Unlock()
	if !found || !now.Before(c.until) || !s.tokens.Valid(c.token) {
		return spec.Token{}, false
	}
	return c.token, true
}
