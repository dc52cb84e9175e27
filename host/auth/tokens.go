package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pathguard"
)

// TokenDir is the directory of the tokens in the data directory.
const TokenDir = "tokens"

// Bounds of what people write.
const (
	maxTokens    = 1000    // of a data directory
	maxTokenFile = 8 << 10 // bytes
	maxTokenName = 64      // characters
)

// secretPrefix begins every token that Create makes, so that scanners for leaked
// secrets can tell one.
const secretPrefix = "berth_"

// Scopes are what a token may be for.
func Scopes() []string { return []string{"read", "publish", "operate", "install"} }

// Token is one token without its secret.
type Token struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Scopes   []string  `json:"scopes"` // sorted
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires,omitzero"`   // zero: never
	LastUsed time.Time `json:"last_used,omitzero"` // to the minute; zero: not yet
}

// Expired reports whether the token's time is over.
func (t Token) Expired(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

// tokenFile is what a token's file holds. 256 random bits need no slow hash.
type tokenFile struct {
	Token
	SHA256 string `json:"sha256"` // of the secret's text, hex
}

// An id is 16 characters of base 32 in lower case: 80 random bits.
var validID = regexp.MustCompile(`^[a-z2-7]{16}$`)

// Create makes a token and returns its secret, which is kept nowhere. A zero
// expires is never. fault.Invalid: the name, a scope or the time is wrong.
func Create(dir, name string, scopes []string, expires time.Time) (Token, string, error) {
	if err := checkToken(name, scopes, expires); err != nil {
		return Token{}, "", err
	}
	scopes = slices.Clone(scopes)
	slices.Sort(scopes)
	now := time.Now().UTC().Truncate(time.Second)
	t := tokenFile{Token: Token{ID: strings.ToLower(rand.Text()[:16]), Name: name, Scopes: slices.Compact(scopes), Created: now, Expires: expires.UTC()}}
	random := make([]byte, 32)
	rand.Read(random) // never fails: crypto/rand ends the program instead
	secret := secretPrefix + t.ID + "_" + base64.RawURLEncoding.EncodeToString(random)
	sum := sha256.Sum256([]byte(secret))
	t.SHA256 = hex.EncodeToString(sum[:])
	text, err := json.Marshal(t)
	if err != nil {
		return Token{}, "", fault.New(fault.Internal, "create a token: %w", err)
	}
	sub := filepath.Join(dir, TokenDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Token{}, "", fmt.Errorf("create a token: %w", err)
	}
	// A refused user makes no directory, which the host's user could not read.
	if err := pathguard.Check(dir); err != nil {
		return Token{}, "", fault.New(fault.CodeOf(err), "no token in %s would count: %w", sub, err)
	}
	if err := os.MkdirAll(sub, 0o700); err != nil {
		return Token{}, "", fmt.Errorf("create a token: %w", err)
	}
	if err := checkMode(sub); err != nil {
		return Token{}, "", err
	}
	have, err := os.ReadDir(sub)
	if err != nil {
		return Token{}, "", fmt.Errorf("create a token: %w", err)
	}
	if len(have) >= maxTokens {
		return Token{}, "", fault.New(fault.Exhausted, "there are %d tokens, and no more are kept: revoke some", len(have))
	}
	if err := writeWhole(sub, t.ID+".json", append(text, '\n')); err != nil {
		return Token{}, "", fmt.Errorf("create a token: %w", err)
	}
	return t.Token, secret, nil
}

func checkToken(name string, scopes []string, expires time.Time) error {
	if n := len([]rune(name)); n == 0 || n > maxTokenName || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fault.Field("name", "must have 1 to %d printable characters", maxTokenName)
	}
	if len(scopes) == 0 {
		return fault.Field("scope", "is required: some of %s", strings.Join(Scopes(), ", "))
	}
	for _, s := range scopes {
		if !slices.Contains(Scopes(), s) {
			return fault.Field("scope", "%q is not a scope; there are %s", s, strings.Join(Scopes(), ", "))
		}
	}
	if !expires.IsZero() && !expires.After(time.Now()) {
		return fault.Field("expires", "is over already")
	}
	return nil
}

// Revoke removes a token and returns what it was; fault.NotFound.
func Revoke(dir, id string) (Token, error) {
	notFound := fault.New(fault.NotFound, "there is no token %q", id)
	if !validID.MatchString(id) {
		return Token{}, notFound
	}
	sub := filepath.Join(dir, TokenDir)
	// What is unreadable is revoked as well: only its description is lost.
	t, err := readTokenFile(sub, id)
	if errors.Is(err, fs.ErrNotExist) {
		return Token{}, notFound
	}
	t.ID = id
	err = os.Remove(filepath.Join(sub, id+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return Token{}, notFound
	}
	if err == nil {
		err = syncDir(sub)
	}
	if err != nil {
		return Token{}, fmt.Errorf("revoke the token %s: %w", id, err)
	}
	return t.Token, nil
}

// List returns the tokens, the oldest first, also those that have expired. Files
// that are damaged are named in the error, and the others are returned all the
// same.
func List(dir string) ([]Token, error) {
	files, err := readTokens(filepath.Join(dir, TokenDir))
	used := readUsed(dir)
	list := make([]Token, 0, len(files))
	for _, f := range files {
		f.LastUsed = used[f.ID]
		list = append(list, f.Token)
	}
	slices.SortFunc(list, func(a, b Token) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list, err
}

// readTokens reads every token's file; a missing directory has none.
func readTokens(sub string) ([]tokenFile, error) {
	entries, err := os.ReadDir(sub)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = checkMode(sub)
	}
	if err != nil {
		return nil, fmt.Errorf("read the tokens: %w", err)
	}
	var tokens []tokenFile
	var problems []error
	for _, e := range entries {
		id, isToken := strings.CutSuffix(e.Name(), ".json")
		if !isToken || !validID.MatchString(id) {
			continue // a temporary file, or somebody's notes
		}
		t, err := readTokenFile(sub, id)
		switch {
		case errors.Is(err, fs.ErrNotExist): // revoked just now
		case err != nil:
			problems = append(problems, err)
		default:
			tokens = append(tokens, t)
		}
	}
	return tokens, errors.Join(problems...)
}

func readTokenFile(sub, id string) (tokenFile, error) {
	path := filepath.Join(sub, id+".json")
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return tokenFile{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return tokenFile{}, err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o022 != 0 {
		return tokenFile{}, fault.New(fault.Denied, "the token %s does not count: it is no regular file, or others can write it (mode %04o): revoke it", path, info.Mode().Perm())
	}
	if err := pathguard.Owner(path, info); err != nil {
		return tokenFile{}, fault.New(fault.Denied, "the token does not count: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxTokenFile))
	if err != nil {
		return tokenFile{}, err
	}
	t, err := parseToken(text)
	if err == nil && t.ID != id {
		err = errors.New("it is another token's file")
	}
	if err != nil {
		return tokenFile{}, fault.New(fault.Invalid, "the token %s does not count: %w", path, err)
	}
	return t, nil
}

// parseToken reads a token's file strictly: a right that is not understood is
// not given.
func parseToken(text []byte) (tokenFile, error) {
	var t tokenFile
	if err := json.Unmarshal(text, &t); err != nil {
		return tokenFile{}, err
	}
	if sum, err := hex.DecodeString(t.SHA256); err != nil || len(sum) != sha256.Size {
		return tokenFile{}, errors.New("sha256 must be 64 hexadecimal digits")
	}
	return t, checkToken(t.Name, t.Scopes, time.Time{})
}

// matches compares in a time that does not depend on how much is right.
func (t tokenFile) matches(sum [sha256.Size]byte) bool {
	want, err := hex.DecodeString(t.SHA256)
	return err == nil && subtle.ConstantTimeCompare(want, sum[:]) == 1
}

// checkMode refuses a directory that others can write to: they could add tokens.
func checkMode(sub string) error {
	info, err := os.Lstat(sub)
	if err != nil {
		return err
	}
	if !info.IsDir() || info.Mode().Perm()&0o022 != 0 {
		return fault.New(fault.Denied, "no token in %s counts: it is no directory, or others can write to it (mode %04o): chmod 700 it", sub, info.Mode().Perm())
	}
	if err := pathguard.Check(sub); err != nil {
		return fault.New(fault.CodeOf(err), "no token in %s counts: %w", sub, err)
	}
	return nil
}
