package auth

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pathguard"
)

// TokenFile is the name of the admin token's file in the data directory.
const TokenFile = "admin.token"

const (
	minToken = 32  // characters; one that the host makes has 43
	maxToken = 512 // likewise
)

// LoadOrCreateToken returns the admin token of a data directory, which it makes
// (with the directory, 0700) when there is none: 32 random bytes in base64url.
// The file has mode 0600 and appears whole; of several processes that start at
// once, one makes it and the others read it. It errs on a file that other users
// can read, and on one that does not hold a token.
func LoadOrCreateToken(dir string) (token, path string, created bool, err error) {
	path = filepath.Join(dir, TokenFile)
	token, err = ReadToken(dir)
	if !fault.Is(err, fault.NotFound) {
		if info, e := os.Lstat(path); err == nil && e == nil {
			err = pathguard.Owner(path, info)
		}
		return token, path, false, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", path, false, fmt.Errorf("make the admin token: %w", err)
	}
	secret := make([]byte, 32)
	rand.Read(secret) // never fails: crypto/rand ends the program instead
	token = base64.RawURLEncoding.EncodeToString(secret)
	switch err := writeWhole(dir, TokenFile, []byte(token+"\n")); {
	case errors.Is(err, fs.ErrExist): // another process was first
		token, err = ReadToken(dir)
		return token, path, false, err
	case err != nil:
		return "", path, false, fmt.Errorf("make the admin token: %w", err)
	}
	return token, path, true, nil
}

// ReadToken returns the admin token of a data directory. fault.NotFound: it has
// none. fault.Denied: other users can read it.
func ReadToken(dir string) (string, error) {
	path := filepath.Join(dir, TokenFile)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fault.New(fault.NotFound, "there is no admin token: %w", err)
	}
	if err != nil {
		return "", fmt.Errorf("read the admin token: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fault.New(fault.Denied, "the admin token %s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read the admin token: %w", err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return "", fmt.Errorf("read the admin token: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return "", fault.New(fault.Denied, "the admin token %s can be used by other users (mode %04o): "+
			"chmod 600 it, or remove it to have a new one made if they may have read it", path, mode)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxToken+2))
	if err != nil {
		return "", fmt.Errorf("read the admin token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	bad := strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
	if bad || len(token) < minToken || len(token) > maxToken {
		return "", fault.New(fault.Invalid, "%s does not hold a token (one line of %d to %d visible ASCII characters); "+
			"remove it to have a new one made", path, minToken, maxToken)
	}
	return token, nil
}

// writeWhole puts a whole file in place, with mode 0600, or answers fs.ErrExist.
func writeWhole(dir, name string, content []byte) error {
	f, err := os.CreateTemp(dir, "."+name+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), filepath.Join(dir, name)); err != nil { // unlike a rename, it replaces nothing
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
