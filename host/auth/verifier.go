package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// usedFile says when tokens were last used. Only the host writes it.
const usedFile = "tokens.used.json"

const (
	// young is how recent a change of the directory may be for another one to
	// have the same time: file systems count in steps of some milliseconds.
	young = 100 * time.Millisecond
	// useGrain is how exactly the last use of a token is known.
	useGrain = time.Minute
)

// AdminID is the id of the admin token.
const AdminID = "admin"

// Verifier knows the tokens of a data directory by their secrets. It looks
// whether the directory has changed whenever it is asked, so that a token counts
// from when it is created and until it is revoked. It is safe for concurrent use.
type Verifier struct {
	dir    string
	logger *slog.Logger
	admin  atomic.Pointer[[sha256.Size]byte] // nil: there is none

	mu     sync.RWMutex
	tokens map[string]tokenFile // by id
	seen   time.Time            // the directory's time when tokens was read; zero: read again
	used   map[string]time.Time // by id, to useGrain
	dirty  bool                 // used is not on disk
}

// NewVerifier returns a verifier of the tokens in a data directory and of the
// admin token. "": there is none.
func NewVerifier(dir, admin string, logger *slog.Logger) *Verifier {
	v := &Verifier{dir: dir, logger: logger, used: readUsed(dir)}
	v.SetAdmin(admin)
	return v
}

// SetAdmin replaces the admin token; "" is none.
func (v *Verifier) SetAdmin(token string) {
	if token == "" {
		v.admin.Store(nil)
		return
	}
	sum := sha256.Sum256([]byte(token))
	v.admin.Store(&sum)
}

// Verify returns the token with this secret; false when it is not known, was
// revoked or has expired. The time it takes does not depend on how much of a
// secret is right.
func (v *Verifier) Verify(secret string) (Token, bool) {
	sum := sha256.Sum256([]byte(secret))
	if admin := v.admin.Load(); admin != nil && subtle.ConstantTimeCompare(sum[:], admin[:]) == 1 {
		return Token{ID: AdminID, Name: AdminID, Scopes: Scopes()}, true
	}
	rest, ok := strings.CutPrefix(secret, secretPrefix)
	id, _, _ := strings.Cut(rest, "_")
	if !ok || !validID.MatchString(id) {
		return Token{}, false
	}
	t, found := v.current()[id]
	now := time.Now()
	if !found || !t.matches(sum) || t.Expired(now) {
		return Token{}, false
	}
	v.use(id, now)
	return t.Token, true
}

// Valid reports whether the token with this id, that Verify returned, still counts.
func (v *Verifier) Valid(id string) bool {
	if id == AdminID {
		return true
	}
	now, found := v.current()[id]
	return found && !now.Expired(time.Now())
}

// current returns the tokens as the directory has them.
func (v *Verifier) current() map[string]tokenFile {
	sub := filepath.Join(v.dir, TokenDir)
	at := changed(sub)
	v.mu.RLock()
	tokens, seen := v.tokens, v.seen
	v.mu.RUnlock()
	if tokens != nil && at.Equal(seen) {
		return tokens
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	at = changed(sub) // before reading: what comes after it is seen the next time
	files, err := readTokens(sub)
	if err != nil {
		v.logger.Error("not every token counts", "error", err)
	}
	v.tokens = make(map[string]tokenFile, len(files))
	for _, t := range files {
		v.tokens[t.ID] = t
	}
	v.seen = at
	if time.Since(at) < young {
		v.seen = time.Unix(0, 1) // no directory's time
	}
	return v.tokens
}

// changed is when the directory was changed last; the zero time when there is none.
func changed(sub string) time.Time {
	info, err := os.Lstat(sub)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// use notes that a token was used, in steps of useGrain.
func (v *Verifier) use(id string, now time.Time) {
	now = now.UTC().Truncate(useGrain)
	v.mu.RLock()
	known := v.used[id].Equal(now)
	v.mu.RUnlock()
	if known {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.used[id], v.dirty = now, true
}

// Run writes down, now and then and in the end, when tokens were last used. It
// returns when ctx ends.
func (v *Verifier) Run(ctx context.Context) {
	tick := time.NewTicker(useGrain)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			v.flush()
			return
		}
		v.flush()
	}
}

// flush writes the times of use. They are worth no fsync.
func (v *Verifier) flush() {
	tokens := v.current()
	v.mu.Lock()
	defer v.mu.Unlock()
	for id := range v.used {
		if _, there := tokens[id]; !there {
			delete(v.used, id)
			v.dirty = true
		}
	}
	if !v.dirty {
		return
	}
	text, err := json.Marshal(v.used)
	path := filepath.Join(v.dir, usedFile)
	if err == nil {
		err = os.WriteFile(path+".tmp", text, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil {
		_ = os.Remove(path + ".tmp")
		v.logger.Warn("it was not written down when tokens were last used", "error", err)
		return
	}
	v.dirty = false
}

// readUsed reads when tokens were used. What cannot be read is not known.
func readUsed(dir string) map[string]time.Time {
	used := make(map[string]time.Time)
	text, err := os.ReadFile(filepath.Join(dir, usedFile))
	if errors.Is(err, fs.ErrNotExist) || err == nil && json.Unmarshal(text, &used) != nil || used == nil {
		return make(map[string]time.Time)
	}
	return used
}
