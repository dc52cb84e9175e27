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
	"github.com/berth-host/berth/host/spec"
)

// TokenDir is the directory of the tokens in the data directory.
const TokenDir = "tokens"

// Limits of the input.
const (
	maxTokens    = 1000    // of a data directory
	maxTokenFile = 8 << 10 // bytes
	maxTokenName = 64      // characters
)

// secretPrefix begins every secret that Create returns, so that scanners for leaked
// secrets recognise it.
const secretPrefix = "berth_"

// Token is one token without its secret.
type Token struct {
	spec.Token           // Scopes is sorted
	Created    time.Time `json:"created"`
	Expires    time.Time `json:"expires,omitzero"`   // zero: never
	LastUsed   time.Time `json:"last_used,omitzero"` // to the minute; zero: not yet
}

// Expired reports whether the token has expired at a time.
func (t Token) Expired(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

// tokenFile is the content of a token's file. A secret of 256 random bits needs no
// slow hash.
type tokenFile struct {
	Token
	SHA256 string `json:"sha256"` // of the secret's text, hex
}

// validID matches the id of a token: 16 characters of base 32 in lower case, 80 random bits.
var validID = regexp.MustCompile(`^[a-z2-7]{16}$`)

// Create stores a token in a data directory and returns it with its secret, which
// is stored nowhere. With a zero expires it never expires. fault.Invalid: the name,
// a scope or the time is wrong. fault.Denied: other users can write to the
// directory. fault.Exhausted: there are too many tokens.
func Create(dir, name string, scopes []string, expires time.Time) (Token, string, error) {
	t, secret, text, err := newToken(name, scopes, expires)
	if err != nil {
		return Token{}, "", err
	}
	sub := filepath.Join(dir, TokenDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Token{}, "", fmt.Errorf("create token: %w", err)
	}
	// Check first: a directory created by another user would be unreadable for the host.
	if err := pathguard.Check(dir); err != nil {
		return Token{}, "", fault.New(fault.CodeOf(err), "a host would ignore tokens in %s: %w", sub, err)
	}
	if err := os.MkdirAll(sub, 0o700); err != nil {
		return Token{}, "", fmt.Errorf("create token: %w", err)
	}
	if err := checkMode(sub); err != nil {
		return Token{}, "", err
	}
	have, err := os.ReadDir(sub)
	if err != nil {
		return Token{}, "", fmt.Errorf("create token: %w", err)
	}
	if len(have) >= maxTokens {
		return Token{}, "", tooMany(len(have))
	}
	if err := writeWhole(sub, t.ID+".json", append(text, '\n')); err != nil {
		return Token{}, "", fmt.Errorf("create token: %w", err)
	}
	return t.Token, secret, nil
}

func tooMany(n int) error {
	return fault.New(fault.Exhausted, "%d tokens exist, which is the limit: revoke unused tokens", n)
}

// newToken returns a token with its secret, and the text that is stored of it.
func newToken(name string, scopes []string, expires time.Time) (t tokenFile, secret string, text []byte, err error) {
	if err := checkToken(name, scopes, expires); err != nil {
		return t, "", nil, err
	}
	scopes = slices.Clone(scopes)
	slices.Sort(scopes)
	now := time.Now().UTC().Truncate(time.Second)
	t = tokenFile{Token: Token{
		Token:   spec.Token{ID: strings.ToLower(rand.Text()[:16]), Name: name, Scopes: slices.Compact(scopes)},
		Created: now, Expires: expires.UTC(),
	}}
	random := make([]byte, 32)
	rand.Read(random) // never fails: crypto/rand ends the program instead
	secret = secretPrefix + t.ID + "_" + base64.RawURLEncoding.EncodeToString(random)
	sum := sha256.Sum256([]byte(secret))
	t.SHA256 = hex.EncodeToString(sum[:])
	if text, err = json.Marshal(t); err != nil {
		return t, "", nil, fault.New(fault.Internal, "create token: %w", err)
	}
	return t, secret, text, nil
}

func checkToken(name string, scopes []string, expires time.Time) error {
	if n := len([]rune(name)); n == 0 || n > maxTokenName || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fault.Field("name", "must have 1 to %d printable characters", maxTokenName)
	}
	if len(scopes) == 0 {
		return fault.Field("scope", "is required: one or more of %s", strings.Join(spec.Scopes(), ", "))
	}
	for _, s := range scopes {
		if !slices.Contains(spec.Scopes(), s) {
			return fault.Field("scope", "%q is not a scope; the scopes are %s", s, strings.Join(spec.Scopes(), ", "))
		}
	}
	if !expires.IsZero() && !expires.After(time.Now()) {
		return fault.Field("expires", "is in the past")
	}
	return nil
}

// Revoke removes a token and returns it. fault.NotFound: no token has this id.
func Revoke(dir, id string) (Token, error) {
	notFound := fault.New(fault.NotFound, "there is no token %q", id)
	if !validID.MatchString(id) {
		return Token{}, notFound
	}
	sub := filepath.Join(dir, TokenDir)
	// An unreadable token is removed too; only its description is lost.
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
		return Token{}, fmt.Errorf("revoke token %s: %w", id, err)
	}
	return t.Token, nil
}

// List returns the tokens, expired ones included, the oldest first. With damaged
// files it returns the other tokens and an error that names the files.
func List(dir string) ([]Token, error) {
	files, err := readTokens(filepath.Join(dir, TokenDir))
	used := readUsed(dir)
	list := make([]Token, 0, len(files))
	for _, f := range files {
		f.LastUsed = used[f.ID]
		list = append(list, f.Token)
	}
	sortTokens(list)
	return list, err
}

// sortTokens sorts tokens, the oldest first.
func sortTokens(list []Token) {
	slices.SortFunc(list, func(a, b Token) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
}

// readTokens reads all token files. A missing directory has none.
func readTokens(sub string) ([]tokenFile, error) {
	entries, err := os.ReadDir(sub)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = checkMode(sub)
	}
	if err != nil {
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	var tokens []tokenFile
	var problems []error
	for _, e := range entries {
		id, isToken := strings.CutSuffix(e.Name(), ".json")
		if !isToken || !validID.MatchString(id) {
			continue // a temporary or unrelated file
		}
		t, err := readTokenFile(sub, id)
		switch {
		case errors.Is(err, fs.ErrNotExist): // revoked meanwhile
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
		return tokenFile{}, fault.New(fault.Denied, "ignoring token %s: not a regular file, or writable by others (mode %04o): revoke it",
			path, info.Mode().Perm())
	}
	if err := pathguard.Owner(path, info); err != nil {
		return tokenFile{}, fault.New(fault.Denied, "ignoring token: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxTokenFile))
	if err != nil {
		return tokenFile{}, err
	}
	t, err := parseToken(text)
	if err == nil && t.ID != id {
		err = errors.New("the file is named after another token")
	}
	if err != nil {
		return tokenFile{}, fault.New(fault.Invalid, "ignoring token %s: %w", path, err)
	}
	return t, nil
}

// parseToken parses a token's file strictly: an unknown scope is an error.
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

// matches compares the hash of a secret in constant time.
func (t tokenFile) matches(sum [sha256.Size]byte) bool {
	want, err := hex.DecodeString(t.SHA256)
	return err == nil && subtle.ConstantTimeCompare(want, sum[:]) == 1
}

// checkMode refuses a directory that other users can write to: they could add tokens.
func checkMode(sub string) error {
	info, err := os.Lstat(sub)
	if err != nil {
		return err
	}
	if !info.IsDir() || info.Mode().Perm()&0o022 != 0 {
		return fault.New(fault.Denied, "ignoring tokens in %s: not a directory, or writable by others (mode %04o); run: chmod 700 %[1]s", sub,
			info.Mode().Perm())
	}
	if err := pathguard.Check(sub); err != nil {
		return fault.New(fault.CodeOf(err), "ignoring tokens in %s: %w", sub, err)
	}
	return nil
}
