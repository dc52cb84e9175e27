package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/berth-host/berth/host/auth"
	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore"
	"github.com/berth-host/berth/host/secret"
)

// markFile is the file of a data directory that names the configuration of a host that shares
// its tokens with others, so that commands find them.
const markFile = "cluster.config"

// Mark notes in a data directory whether the host shares its tokens with others, and the path of
// its configuration.
func Mark(dataDir, configPath string, shared bool) error {
	path := filepath.Join(dataDir, markFile)
	if !shared {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fault.Disk("the data directory", err)
		}
		return nil
	}
	abs, err := filepath.Abs(configPath)
	if err == nil {
		err = os.WriteFile(path+".tmp", []byte(abs+"\n"), 0o600)
	}
	if err == nil {
		err = os.Rename(path+".tmp", path)
	}
	return fault.Disk("the data directory", err)
}

// Marked reports whether the host with a data directory shares its store with others.
func Marked(dataDir string) bool {
	_, err := os.Stat(filepath.Join(dataDir, markFile))
	return err == nil
}

// HostName returns the name of the host with a data directory among those that share its store; "" for
// one that runs alone.
func HostName(dataDir string) string {
	mark, err := os.ReadFile(filepath.Join(dataDir, markFile))
	if err != nil {
		return ""
	}
	c, err := config.Load(strings.TrimSpace(string(mark)))
	if err != nil {
		return ""
	}
	return c.HostName()
}

// Tokens returns the tokens of the host with a data directory: those in it, or those in the
// database that the host shares with others. The caller calls done.
func Tokens(ctx context.Context, dataDir string, env func(string) (string, bool)) (tokens auth.Tokens, done func(), err error) {
	mark, err := os.ReadFile(filepath.Join(dataDir, markFile))
	if errors.Is(err, fs.ErrNotExist) {
		return auth.Files(dataDir), func() {}, nil
	}
	if err != nil {
		return nil, nil, fault.Disk("the data directory", err)
	}
	path := strings.TrimSpace(string(mark))
	c, err := config.Load(path)
	if err != nil {
		return nil, nil, fmt.Errorf("the host of %s keeps its tokens in the database that its configuration names: %w", dataDir, err)
	}
	if c.Bus.Engine != config.EnginePostgres {
		return auth.Files(dataDir), func() {}, nil // it starts anew with another engine
	}
	secrets := secret.Source{Directory: secret.Directory(filepath.Join(dataDir, "secrets")), Env: env}
	store, err := openStore(ctx, c.Bus.Postgres, secrets, env, pgstore.Config{Window: bus.NewWindow(bus.WindowConfig{Events: 1})})
	if err != nil {
		return nil, nil, fmt.Errorf("open the database of %s, which has the tokens: %w", path, err)
	}
	return auth.Shared{Documents: store, Dir: dataDir}, func() { _ = store.Close() }, nil
}
