package admin

import (
	"errors"
	"io"
	"net/url"
	"os"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/secret"
)

// databaseURL returns the URL of the database with its password. The caller must not show it.
func databaseURL(p config.Postgres, secrets secret.Source, env func(string) (string, bool)) (string, error) {
	password, err := passwordOf(p.Password, secrets, env)
	if err != nil || password == "" {
		return p.URL, err
	}
	u, err := url.Parse(p.URL)
	if err != nil {
		return "", fault.Field("bus.postgres.url", "is not a URL") // the configuration was checked
	}
	name := u.User.Username()
	if name == "" {
		if name = u.Query().Get("user"); name == "" {
			return "", fault.Field("bus.postgres.url", "names no user, to whom the password of bus.postgres.password belongs: write postgres://USER@HOST/DATABASE")
		}
	}
	u.User = url.UserPassword(name, password)
	return u.String(), nil
}

// maxPassword bounds a password, in bytes.
const maxPassword = 4096

// passwordOf returns the password, "" for none.
func passwordOf(p config.Password, secrets secret.Source, env func(string) (string, bool)) (password string, err error) {
	const setting = "bus.postgres.password"
	switch {
	case p.Secret != "":
		if password, err = secrets.Read(p.Secret); err != nil {
			return "", fault.New(fault.CodeOf(err), "%s: %w", setting, err)
		}
	case p.File != "":
		if password, err = readPassword(p.File); err != nil {
			return "", fault.New(fault.Invalid, "%s.file: %w", setting, err)
		}
	case p.Env != "":
		var found bool
		if password, found = env(p.Env); !found {
			return "", fault.New(fault.Invalid, "%s.env: the environment has no variable %s", setting, p.Env)
		}
	default:
		return "", nil
	}
	if password == "" {
		return "", fault.New(fault.Invalid, "%s: it is empty where the configuration says it is", setting)
	}
	return password, nil
}

// readPassword reads a file of a password without one line end. Files of Kubernetes and of
// systemd can be read by a group, so that only those that everyone can read are refused.
func readPassword(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", errors.New(path + " is not a regular file")
	case info.Mode().Perm()&0o007 != 0:
		return "", errors.New(path + " can be read by every user of this machine: run chmod o= " + path)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxPassword+1))
	if err == nil && len(content) > maxPassword {
		err = errors.New(path + " is too long for a password")
	}
	return string(abi.TrimFileEnd(content)), err
}
