// Package secret reads the operator's secrets: one file for each, in one
// directory, or else an environment variable. They are in no configuration or
// database, so that what is shown, logged or backed up does not hold them.
//
// A secret is read whenever it is asked for: a changed file counts at once, and
// nothing is kept. Its content never gets into an error or a log.
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

// A name is a file's: no path, and no hidden file.
var validName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

// Source is where secrets come from: a file of the directory first, then the
// environment. It is safe for concurrent use.
type Source struct {
	Directory Directory
	// Env looks up an environment variable, as os.LookupEnv does. Nil: there are
	// files only.
	Env func(name string) (value string, found bool)
}

// EnvPrefix begins the names of the environment variables that hold secrets.
const EnvPrefix = "BERTH_SECRET_"

// EnvName is the environment variable of a secret: BERTH_SECRET_ and its name in
// upper case, with _ for what a variable's name cannot hold (api-key:
// BERTH_SECRET_API_KEY).
func EnvName(name string) string {
	return EnvPrefix + strings.NewReplacer("-", "_", ".", "_").Replace(strings.ToUpper(name))
}

// Read returns a secret. Errors are those of Directory.Read: a file that is
// there and cannot be read is an error, whatever the environment has.
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

// Directory is where the secrets are. It need not exist. It is safe for
// concurrent use.
type Directory string

// Read returns a secret; a byte order mark and one line end, as editors leave
// them, are not part of it. A link is followed within the directory. Errors: fault.Invalid for
// a name that no secret has, fault.NotFound, fault.Exhausted for a file over
// MaxSize, and fault.Unavailable for what is no regular file, cannot be read, can be
// read by others than its owner, or is another user's (package pathguard). Their
// texts are for the operator.
func (d Directory) Read(name string) (string, error) {
	if !validName.MatchString(name) {
		return "", fault.New(fault.Invalid, "a secret's name is 1 to 128 letters, digits and . _ - (not first)")
	}
	root, err := os.OpenRoot(string(d))
	if err != nil {
		return "", unreadable(name, err)
	}
	defer root.Close()
	if err := pathguard.Reach(string(d)); err != nil {
		return "", fault.New(fault.Unavailable, "the secret %s: %w", name, err)
	}
	// Without O_NONBLOCK, opening a pipe would wait for its writer.
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
		return "", fault.New(fault.Unavailable, "the secret %s has mode %04o: others could read it; chmod 600 it", name, info.Mode().Perm())
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

// unreadable says why without the path, which is no matter of a guest.
func unreadable(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.NotFound, "there is no secret %s", name)
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
