// Package secret reads the operator's secrets: one file each in one directory, or
// an environment variable. Configuration and database hold no secrets, so neither
// do their dumps, logs and backups.
//
// A secret is read on every call: a changed file takes effect at once and nothing
// is cached. Errors and logs never contain a secret's content.
package secret

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"syscall"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pathguard"
)

// MaxSize bounds a secret, in bytes.
const MaxSize = 64 << 10

// validName matches a secret's name: a file name, no path, not hidden.
var validName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

// Source reads secrets from a directory first, then from the environment. It is
// safe for concurrent use.
type Source struct {
	Directory Directory
	// Env looks up an environment variable, as os.LookupEnv does. nil: files only.
	Env func(name string) (value string, found bool)
}

// EnvPrefix is the prefix of environment variables that hold secrets.
const EnvPrefix = "BERTH_SECRET_"

// EnvName returns the environment variable of a secret: BERTH_SECRET_ and its name
// in upper case, with _ for characters that a variable's name cannot have (api-key:
// BERTH_SECRET_API_KEY).
func EnvName(name string) string {
	return EnvPrefix + strings.NewReplacer("-", "_", ".", "_").Replace(strings.ToUpper(name))
}

// Read returns a secret, with the errors of Directory.Read. A file that exists and
// cannot be read is an error even if the environment has the secret.
func (s Source) Read(name string) (string, error) {
	value, err := s.Directory.Read(name)
	if !fault.Is(err, fault.NotFound) || s.Env == nil {
		return value, err
	}
	value, found := s.Env(EnvName(name))
	switch {
	case !found:
		return "", err
	case len(value) > MaxSize:
		return "", tooLarge(name)
	}
	return value, nil
}

// Directory is the path of the directory of secrets, which need not exist. It is
// safe for concurrent use.
type Directory string

// Read returns a secret without a byte order mark and one line end, which editors
// add. Links within the directory are followed. Errors: fault.Invalid for an invalid
// name, fault.NotFound, fault.Exhausted for a file over MaxSize, and fault.Unavailable
// for a file that is not regular, not readable, readable by other users or owned by
// another user (package pathguard). The texts are for the operator.
func (d Directory) Read(name string) (string, error) {
	if !validName.MatchString(name) {
		return "", fault.New(fault.Invalid, "a secret's name is 1 to 128 letters, digits and . _ - (not first)")
	}
	root, err := os.OpenRoot(string(d))
	if err != nil {
		return "", unreadable(name, err)
	}
	defer root.Close()
	if err := pathguard.CheckShared(string(d)); err != nil {
		return "", fault.New(fault.Unavailable, "the secret %s: %w", name, err)
	}
	// Without O_NONBLOCK, opening a pipe waits for its writer.
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", unreadable(name, err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", unreadable(name, err)
	case !info.Mode().IsRegular():
		return "", fault.New(fault.Unavailable, "the secret %s is not a regular file", name)
	case info.Mode().Perm()&0o077 != 0:
		return "", fault.New(fault.Unavailable, "the secret %s has mode %04o: other users can read it; run chmod 600", name, info.Mode().Perm())
	}
	if err := pathguard.Owner(name, info); err != nil {
		return "", fault.New(fault.Unavailable, "the secret %w", err)
	}
	content, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return "", unreadable(name, err)
	}
	if len(content) > MaxSize {
		return "", tooLarge(name)
	}
	return string(abi.TrimFileEnd(content)), nil
}

// unreadable returns the reason without the path, which a guest must not learn.
func unreadable(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.NotFound, "no secret named %s", name)
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return fault.New(fault.Unavailable, "the secret %s cannot be read: %w", name, err)
}

func tooLarge(name string) error {
	return &fault.Error{Code: fault.Exhausted, Field: "secret", Reason: name + " is larger than 64 KiB"}
}
