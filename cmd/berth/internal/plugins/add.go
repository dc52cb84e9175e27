package plugins

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/live"
	"github.com/berth-host/berth/host/plugin/folder"
	"github.com/berth-host/berth/host/wire"
)

// addition has the flags of plugin add.
type addition struct {
	file     string
	name     string // "": as its manifest or its file says
	dir      string // "": the first watched directory
	replaces bool
	timeout  time.Duration
}

func (a app) add() *cobra.Command {
	var add addition
	cmd := a.Remote("add FILE", "Copy a module into a watched directory, and wait until it is active",
		func(ctx context.Context, args []string) error {
			if add.timeout <= 0 {
				return command.Usage("--timeout must be above zero")
			}
			add.file = args[0]
			c, err := a.Connect()
			if err != nil {
				return err
			}
			if !client.Loopback(c.URL) {
				return fmt.Errorf("the host at %s is not on this machine: a file reaches it by 'berth plugin install'", c.URL)
			}
			return a.addFile(ctx, c, add)
		})
	cmd.Long = `Copies a module, and the manifest FILE.json if there is one, into a directory that the host on this
machine watches, and waits until the plugin is active, so that it takes every event that is published
then. The host never sees a half of it. A file that no host would take is refused, and nothing is
copied; an existing file is replaced if you agree, or with --replace.

` + waitCodes
	cmd.Example = "  berth plugin add build/fraud-check.wasm"
	cmd.Flags().StringVar(&add.name, "name", "", "the plugin's name, where its manifest gives none (default: the file's)")
	cmd.Flags().StringVar(&add.dir, "dir", "", "the watched directory to copy to (default: the first of plugin_directories)")
	cmd.Flags().BoolVar(&add.replaces, "replace", false, "replace a plugin of that name without asking")
	cmd.Flags().DurationVar(&add.timeout, "timeout", 2*time.Minute, "wait no longer until it is active; it stays where it is")
	return cmd
}

func (a app) addFile(ctx context.Context, c *client.Client, add addition) error {
	w, path, err := a.copyFile(ctx, c, add)
	if err != nil {
		return err
	}
	a.Note("%s is copied to %s; waiting until it is active.\n", add.file, path)
	return a.await(ctx, c, w, add.timeout)
}

// copyFile copies a module into a watched directory, and returns its path there and what to
// wait for.
func (a app) copyFile(ctx context.Context, c *client.Client, add addition) (w awaited, path string, err error) {
	wasm, err := readModule(add.file)
	if err != nil {
		return awaited{}, "", err
	}
	manifest, err := readManifest(folder.Sidecar(add.file))
	if err != nil {
		return awaited{}, "", err
	}
	named := add.file
	if add.name != "" {
		if err := abi.CheckName(add.name); err != nil {
			return awaited{}, "", command.Usage("--name: %w", err)
		}
		named = add.name
	}
	name, err := folder.Named(named, wasm, manifest)
	if err != nil {
		return awaited{}, "", fmt.Errorf("%s is not added: %s", add.file, err.Error())
	}
	if add.name != "" && name != add.name {
		return awaited{}, "", fmt.Errorf("its manifest names it %s: leave --name out, or change the manifest", name)
	}
	dirs, err := a.watchedDirectories(c.URL)
	if err != nil && add.dir == "" {
		return awaited{}, "", fmt.Errorf("find the directories that the host watches (or name one with --dir): %w", err)
	}
	path, taken, err := destination(dirs, add.dir, name)
	if err != nil {
		return awaited{}, "", err
	}
	before, _, err := pluginNow(ctx, c, name)
	if err != nil {
		return awaited{}, "", err
	}
	sum := sha256.Sum256(wasm)
	w = awaited{name: name, sha256: hex.EncodeToString(sum[:])}
	if err := a.mayReplace(add, before, path, taken, w.sha256); err != nil {
		return awaited{}, "", err
	}
	if err := folder.Put(path, wasm, manifest); err != nil {
		return awaited{}, "", fmt.Errorf("copy %s to %s: %w", add.file, path, err)
	}
	return w, path, nil
}

// mayReplace asks before a plugin is replaced, and refuses a copy that the host would ignore.
func (a app) mayReplace(add addition, before wire.Plugin, path string, taken bool, digest string) error {
	switch {
	case !taken && before.Name != "" && before.State != wire.Draining:
		return fmt.Errorf("the host has a plugin %s (%s) that is not %s: it is installed, or another file's manifest names it so. Remove "+
			"that one first, or choose another name",
			before.Name, before.State, path)
	case !taken, add.replaces, before.SHA256 == digest:
		return nil
	}
	return a.Confirm(fmt.Sprintf("Replace %s?", path),
		fmt.Sprintf("%s exists, and nothing is changed: give --replace to replace it", path))
}

// watchedDirectories returns the plugin directories of the host on this machine.
func (a app) watchedDirectories(url string) ([]string, error) {
	state, err := client.ReadState(a.DataDirectory())
	switch {
	case err != nil:
		return nil, err
	case strings.TrimRight(state.URL, "/") != url:
		return nil, fmt.Errorf("the data directory is that of the host at %s, not at %s", state.URL, url)
	case state.Config == "":
		return nil, errors.New("the host does not say where its configuration is: it is older than this command")
	}
	c := config.Default()
	if read, err := live.Read(state.Config); err == nil {
		c = read
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	dirs := slices.Clone(c.PluginDirectories)
	for i, dir := range dirs {
		if !filepath.IsAbs(dir) {
			dirs[i] = filepath.Join(state.Directory, dir)
		}
	}
	if len(dirs) == 0 {
		return nil, errors.New("the host watches no directory: plugin_directories is empty")
	}
	return dirs, nil
}

// destination returns the file for the plugin's module; taken means that it exists. Without
// dir it is the plugin's present file, or one in the first watched directory.
func destination(dirs []string, dir, name string) (path string, taken bool, err error) {
	if dir != "" {
		if dir, err = filepath.Abs(dir); err != nil {
			return "", false, err
		}
		if dirs != nil && !slices.Contains(dirs, dir) {
			return "", false, fmt.Errorf("the host does not watch %s; it watches %s", dir, strings.Join(dirs, ", "))
		}
		dirs = []string{dir}
	}
	for _, dir := range dirs {
		if path, err = folder.FileOf(dir, name); path != "" || err != nil {
			return path, path != "", err
		}
	}
	if err := os.MkdirAll(dirs[0], 0o755); err != nil {
		return "", false, err
	}
	return filepath.Join(dirs[0], name+".wasm"), false, nil
}

// readManifest reads the manifest beside a module; nil if there is none.
func readManifest(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > abi.MaxManifest {
		return nil, fmt.Errorf("%s is not a manifest: it must be a regular file of at most %d bytes", path, abi.MaxManifest)
	}
	text, err := os.ReadFile(path)
	if text == nil {
		text = []byte{}
	}
	return text, err
}
