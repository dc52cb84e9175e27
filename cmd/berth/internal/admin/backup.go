package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/backup"
	"github.com/berth-host/berth/host/backup/archive"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/doctor"
	"github.com/berth-host/berth/host/engine"
	"github.com/berth-host/berth/host/live"
	"github.com/berth-host/berth/host/wire"
)

const (
	backupPath    = "/api/v1/backup"
	backupType    = "application/x-tar"
	backupTimeout = 24 * time.Hour
)

// BackupCommand returns the command backup.
func BackupCommand(env *command.Env) *cobra.Command {
	a := app{env}
	var configPath string
	force := false
	cmd := a.Remote("backup FILE", "Write a backup of the host into a file, while it runs or not",
		func(ctx context.Context, args []string) error {
			if err := free(args[0], force); err != nil {
				return err
			}
			if a.DataDir == "" && os.Getenv("BERTH_DATA_DIR") == "" && configPath != "" {
				a.DataDir = live.DataDirOf(configPath)
			}
			if os.Getenv("BERTH_URL") == "" && engine.Marked(a.DataDirectory()) {
				return errors.New(engine.NoBackup)
			}
			if os.Getenv("BERTH_URL") == "" && !backup.InUse(ctx, a.DataDirectory(), doctor.StoreFile) {
				return a.saveOffline(ctx, args[0], cmp.Or(configPath, live.DefaultPath), force)
			}
			return a.saveOnline(ctx, args[0], force)
		})
	cmd.Long = `Writes a backup into FILE: the store as it is at one moment, the configuration, the
tokens' digests, the installed plugins, the plugin files of watched directories and
the audit log. It has no admin token, no secrets and no keys; those are listed.
Keep the file as private as the data directory: it has every event.

A running host makes the backup and sends it; it goes on meanwhile. That needs the
admin token. When no host uses the data directory, the command reads the directory
itself; --config names the configuration then.

The data directory is --data-dir, $BERTH_DATA_DIR, that of the configuration which
--config names, or data.

FILE gets its name when it is complete, checked and on the disk. 'berth restore'
makes a data directory of it.`
	cmd.Example = "  berth backup berth.tar\n  BERTH_URL=https://berth.example.com BERTH_TOKEN=... berth backup berth.tar"
	cmd.Flags().StringVar(&configPath, "config", "", "configuration file, when no host runs (default: "+live.DefaultPath+")")
	cmd.Flags().BoolVar(&force, "force", false, "replace FILE if it exists")
	return cmd
}

// free refuses a file that exists, unless it may be replaced.
func free(file string, force bool) error {
	switch info, err := os.Lstat(file); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a directory: name a file", file)
	case !force:
		return fmt.Errorf("%s exists: name another file, or replace it with --force", file)
	}
	return nil
}

// saveOnline gets a backup from a running host.
func (a app) saveOnline(ctx context.Context, file string, force bool) error {
	c, err := a.ConnectTo(os.Getenv("BERTH_URL"), backupTimeout)
	if err != nil {
		return err
	}
	bar := a.NewBar()
	defer bar.End()
	bar.Show(wire.Progress{Step: "the host copies its store"})
	resp, err := c.Do(ctx, "POST", backupPath, backupType, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return a.save(file, force, func(to io.Writer) error {
		_, err := io.Copy(to, &progress{from: resp.Body, bar: bar, total: resp.ContentLength})
		if err != nil {
			return fmt.Errorf("the backup was interrupted: %w", err)
		}
		return nil
	})
}

// saveOffline makes a backup of a data directory that no host uses.
func (a app) saveOffline(ctx context.Context, file, configPath string, force bool) error {
	if err := a.NeedDataDir(); err != nil {
		return err
	}
	a.Note("no host uses %s: the backup is made of the directory\n", a.DataDirectory())
	if _, err := os.Stat(configPath); errors.Is(err, fs.ErrNotExist) {
		a.Note("there is no configuration %s, and none is in the backup: name it with --config\n", configPath)
	}
	settings, err := live.Read(configPath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var watched []string
	if settings != nil && settings.Bus.Engine == config.EnginePostgres {
		return fmt.Errorf("%s: %s; a store in SQLite that was used before is backed up under its own configuration", configPath, engine.NoBackup)
	}
	if settings != nil {
		watched = settings.PluginDirectories
	}
	backups, err := backup.Offline(ctx, backup.Config{DataDir: a.DataDirectory(), StoreFile: doctor.StoreFile, Version: a.Version,
		Settings: func() (string, []string) { return configPath, watched }})
	if err != nil {
		return err
	}
	made, err := backups.Make(ctx)
	if err != nil {
		return err
	}
	return errors.Join(a.save(file, force, made.Write), made.Close())
}

// save writes a file under a temporary name, reads it back, and gives it its name.
func (a app) save(file string, force bool, write func(io.Writer) error) (err error) {
	temp := file + ".tmp"
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return fmt.Errorf("another command writes %s", temp)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temp))
		}
	}()
	if err := f.Truncate(0); err != nil {
		return err
	}
	if err := write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	manifest, err := archive.Read(f, archive.Discard{})
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		err = free(file, force) // it may exist by now
	}
	if err == nil {
		err = os.Rename(temp, file)
	}
	if err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(file)); err != nil {
		return fmt.Errorf("the backup is complete, but its name may be lost when the power fails: %w", err)
	}
	return command.Show(a.Env, manifest, func(m archive.Manifest) error { return a.printBackup(file, info.Size(), m) })
}

func (a app) printBackup(file string, size int64, m archive.Manifest) error {
	err := a.Print("backup    %s, %s\nstore     up to event %d, after %s\nfiles     %d, made by Berth %s\n", file, console.Bytes(size), m.Store.Seq,
		console.Count(int(m.Store.Writes), "write"), len(m.Files), m.Berth)
	if err == nil && len(m.Excluded) > 0 {
		err = a.Print("excluded  %s\n", strings.Join(m.Excluded, ", "))
	}
	return err
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// progress shows how much was read.
type progress struct {
	from        io.Reader
	bar         console.Bar
	done, total int64
	shown       int64
}

// Read implements io.Reader.
func (p *progress) Read(b []byte) (int, error) {
	n, err := p.from.Read(b)
	p.done += int64(n)
	if p.done-p.shown >= 1<<20 || err != nil {
		p.shown = p.done
		p.bar.Show(wire.Progress{Step: "download", Done: p.done, Total: p.total})
	}
	return n, err
}
