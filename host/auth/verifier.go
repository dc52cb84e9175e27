package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// usedFile records when tokens were last used. Only the host writes it.
const usedFile = "tokens.used.json"

const (
	// mtimeGrain bounds the granularity of file times: two changes of the directory
	// within it may have the same time.
	mtimeGrain = 100 * time.Millisecond
	// useGrain is the resolution of a token's last use.
	useGrain = time.Minute
	// adminRetry is the interval between attempts to create the admin token.
	adminRetry = 2 * time.Second
)

// AdminID is the id of the admin token.
const AdminID = "admin"

// Verifier verifies the secrets of the tokens in a data directory. Each call checks
// whether the directory has changed, so a new token is valid at once and a revoked
// one invalid at once. It is safe for concurrent use.
type Verifier struct {
	dir    string
	logger *slog.Logger
	admin  atomic.Pointer[[sha256.Size]byte] // nil without an admin token

	adminDue bool // Run creates the admin token

	documents Documents // of a cluster; nil: the tokens are in the directory

	mu     sync.RWMutex
	tokens map[string]tokenFile // by id
	seen   time.Time            // modification time of the directory when tokens was read
	used   map[string]time.Time // by id, to useGrain
	dirty  bool                 // used has changes that are not on disk
}

// Open returns the verifier of a data directory, and creates the admin token if there is
// none. When the disk is too full for that it returns a verifier without an admin token,
// which Run creates once there is space. Other errors are those of LoadOrCreateToken.
func Open(dir string, logger *slog.Logger) (*Verifier, error) {
	v := &Verifier{dir: dir, logger: logger, used: readUsed(dir)}
	err := v.loadAdmin()
	if v.adminDue = fault.Is(err, fault.Exhausted); v.adminDue {
		logger.Error("admin token not created on a full disk; retrying, other tokens are valid", "error", err)
		return v, nil
	}
	if err != nil {
		return nil, fmt.Errorf("admin token: %w", err)
	}
	return v, nil
}

// loadAdmin loads the admin token, or creates it.
func (v *Verifier) loadAdmin() error {
	token, path, created, err := LoadOrCreateToken(v.dir)
	if err != nil {
		return err
	}
	if created {
		v.logger.Info("admin token created", "path", path)
	}
	sum := sha256.Sum256([]byte(token))
	v.admin.Store(&sum)
	return nil
}

// Verify returns the token with this secret, and false for an unknown, revoked or
// expired one. Secrets are compared in constant time.
func (v *Verifier) Verify(secret string) (spec.Token, bool) {
	sum := sha256.Sum256([]byte(secret))
	if admin := v.admin.Load(); admin != nil && subtle.ConstantTimeCompare(sum[:], admin[:]) == 1 {
		return v.Admin()
	}
	text, ok := strings.CutPrefix(secret, secretPrefix)
	id, _, _ := strings.Cut(text, "_")
	if !ok || !validID.MatchString(id) {
		return spec.Token{}, false
	}
	t, found := v.current()[id]
	now := time.Now()
	if !found || !t.matches(sum) || t.Expired(now) {
		return spec.Token{}, false
	}
	v.recordUse(id, now)
	return t.Token.Token, true
}

// Admin returns the admin token, and false while there is none.
func (v *Verifier) Admin() (spec.Token, bool) {
	if v.admin.Load() == nil {
		return spec.Token{}, false
	}
	return spec.Token{ID: AdminID, Name: AdminID, Scopes: append(spec.Scopes(), spec.ScopeAdmin)}, true
}

// Valid reports whether a token that Verify returned is still valid.
func (v *Verifier) Valid(t spec.Token) bool {
	if t.ID == AdminID {
		return true
	}
	now, found := v.current()[t.ID]
	return found && !now.Expired(time.Now())
}

// current returns the tokens, read again when the directory has changed.
func (v *Verifier) current() map[string]tokenFile {
	if v.documents != nil {
		v.mu.RLock()
		defer v.mu.RUnlock()
		return v.tokens
	}
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
	at = changed(sub) // before reading, so that the next call sees a later change
	files, err := readTokens(sub)
	if err != nil {
		v.logger.Error("ignoring tokens", "error", err)
	}
	v.tokens = make(map[string]tokenFile, len(files))
	for _, t := range files {
		v.tokens[t.ID] = t
	}
	v.seen = at
	if time.Since(at) < mtimeGrain {
		v.seen = time.Unix(0, 1) // equals no directory's time: read again
	}
	return v.tokens
}

// changed returns the directory's modification time, zero for a missing one.
func changed(sub string) time.Time {
	info, err := os.Lstat(sub)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// recordUse records the use of a token, to useGrain.
func (v *Verifier) recordUse(id string, now time.Time) {
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

// Run writes the times of last use to disk every useGrain and once more when ctx ends,
// and creates the admin token if Open could not. It returns when ctx ends.
func (v *Verifier) Run(ctx context.Context) {
	tick := time.NewTicker(useGrain)
	defer tick.Stop()
	retry := time.NewTicker(adminRetry)
	defer retry.Stop()
	if !v.adminDue {
		retry.Stop()
	}
	for {
		select {
		case <-retry.C:
			if v.loadAdmin() == nil {
				retry.Stop()
			}
		case <-tick.C:
			v.flush()
		case <-ctx.Done():
			v.flush()
			return
		}
	}
}

// flush writes the times of last use, without fsync.
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
		v.logger.Warn("times of last token use not written", "error", err)
		return
	}
	v.dirty = false
}

// readUsed reads the times of last use. An unreadable file has none.
func readUsed(dir string) map[string]time.Time {
	used := make(map[string]time.Time)
	text, err := os.ReadFile(filepath.Join(dir, usedFile))
	if errors.Is(err, fs.ErrNotExist) || err == nil && json.Unmarshal(text, &used) != nil || used == nil {
		return make(map[string]time.Time)
	}
	return used
}
