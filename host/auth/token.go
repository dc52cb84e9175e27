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
	minToken = 32  // characters; a token of the host has 43
	maxToken = 512 // characters
)

// LoadOrCreateToken returns the admin token of a data directory. Without one it
// creates the directory (0700) and a token of 32 random bytes in base64url. The
// file has mode 0600 and appears complete: when several processes start together,
// one creates it and the others read it. fault.Denied: other users can read the
// file. fault.Invalid: it does not hold a token.
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
		return "", path, false, fmt.Errorf("create admin token: %w", err)
	}
	secret := make([]byte, 32)
	rand.Read(secret) // never fails: crypto/rand ends the program instead
	token = base64.RawURLEncoding.EncodeToString(secret)
	switch err := writeWhole(dir, TokenFile, []byte(token+"\n")); {
	case errors.Is(err, fs.ErrExist): // another process was first
		token, err = ReadToken(dir)
		return token, path, false, err
	case err != nil:
		return "", path, false, fmt.Errorf("create admin token: %w", err)
	}
	return token, path, true, nil
}

// ReadToken returns the admin token of a data directory. fault.NotFound: the
// directory has none. fault.Denied: other users can read it. fault.Invalid: the
// file does not hold a token.
func ReadToken(dir string) (string, error) {
	path := filepath.Join(dir, TokenFile)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fault.New(fault.NotFound, "there is no admin token: %w", err)
	}
	if err != nil {
		return "", fmt.Errorf("read admin token: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fault.New(fault.Denied, "the admin token %s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read admin token: %w", err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return "", fmt.Errorf("read admin token: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return "", fault.New(fault.Denied, "the admin token %s can be used by other users (mode %04o): "+
			"run chmod 600, or remove the file if they may have read it; the next start creates a new token", path, mode)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxToken+2))
	if err != nil {
		return "", fmt.Errorf("read admin token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	bad := strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
	if bad || len(token) < minToken || len(token) > maxToken {
		return "", fault.New(fault.Invalid, "%s does not hold a token (one line of %d to %d visible ASCII characters); "+
			"remove it and the next start creates a new one", path, minToken, maxToken)
	}
	return token, nil
}

// writeWhole creates a complete file of mode 0600, or returns fs.ErrExist.
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
