package install

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// SharedKind and sharedID name the document with the lock that hosts of a cluster share.
const (
	SharedKind = "lock"
	sharedID   = "plugins"
)

// Shared is where hosts of a cluster keep the lock and the modules. The lock there defines
// what is installed; the files in the data directory of each host follow it.
type Shared interface {
	// Shared returns the documents of a kind. Share stores one if the stored revision is
	// d.Revision, 0 for none; fault.Conflict otherwise.
	Shared(ctx context.Context, kind string) ([]spec.SharedDocument, error)
	Share(ctx context.Context, d spec.SharedDocument) (revision uint64, err error)
	// PutModule stores a module, which may be there; Module returns one; RemoveModules removes
	// all but those with these digests.
	PutModule(ctx context.Context, sha256 string, content []byte) error
	Module(ctx context.Context, sha256 string) (content []byte, found bool, err error)
	RemoveModules(ctx context.Context, keep []string) error
}

// sharedLock is the shared lock as this host has read or written it last.
type sharedLock struct {
	text     string
	revision uint64
}

// Follow makes this host's files those of the shared lock, and runs the plugins in it: a
// module that another host has installed is fetched, hashed and vetted here as well. One that
// this host refuses does not run here, and is returned as an error beside the others. It
// waits for a transaction that is under way.
func (i *Installer) Follow(ctx context.Context) error {
	if i.cfg.Shared == nil {
		return nil
	}
	done, err := i.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	lock, _, err := i.readLock()
	if err != nil {
		return err
	}
	return i.run(ctx, lock)
}

// run runs the plugins of the lock, and stops those that are not in it any more.
func (i *Installer) run(ctx context.Context, lock Lock) error {
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(lock.Plugins)) {
		e := lock.Plugins[name]
		if i.pinned[name] == e.SHA256 {
			continue
		}
		if _, err := i.pin(ctx, name, e.SHA256); err != nil {
			problems = append(problems, fmt.Errorf("another host has installed %s, which does not run here: %w", name, err))
			continue
		}
		i.cfg.Logger.Info("plugin of another host installed", "plugin", name, "version", e.Version.Version, "sha256", e.SHA256)
	}
	for _, name := range slices.Sorted(maps.Keys(i.pinned)) {
		if _, kept := lock.Plugins[name]; kept {
			continue
		}
		if err := i.cfg.Plugins.Unpin(ctx, name); err != nil && !fault.Is(err, fault.NotFound) {
			problems = append(problems, fmt.Errorf("another host has uninstalled %s, which still runs here: %w", name, err))
			continue
		}
		delete(i.pinned, name)
		i.cfg.Logger.Info("plugin uninstalled, as by another host", "plugin", name)
	}
	if problems == nil {
		return nil
	}
	return fault.New(fault.CodeOf(problems[0]), "follow the installed plugins of the cluster: %w", errors.Join(problems...))
}

// pin runs a version of a plugin, and remembers which.
func (i *Installer) pin(ctx context.Context, name, digest string) (wire.Plugin, error) {
	p, err := i.cfg.Plugins.Pin(ctx, i.pinOf(name, digest))
	if err == nil {
		i.pinned[name] = digest
	}
	return p, err
}

// readShared reads the shared lock. Revision 0 means that there is none.
func (i *Installer) readShared(ctx context.Context) (sharedLock, error) {
	docs, err := i.cfg.Shared.Shared(ctx, SharedKind)
	if err != nil {
		return sharedLock{}, fmt.Errorf("read the installed plugins of the cluster: %w", err)
	}
	for _, d := range docs {
		if d.ID == sharedID {
			return sharedLock{string(d.Body), d.Revision}, nil
		}
	}
	return sharedLock{}, nil
}

// follow makes the files of this host those of the shared lock. The first host of a cluster
// shares what it has instead. It requires a transaction.
func (i *Installer) follow(ctx context.Context) error {
	if i.cfg.Shared == nil {
		return nil
	}
	now, err := i.readShared(ctx)
	if err != nil {
		return err
	}
	local, raw, err := i.readLock()
	switch {
	case now.revision == 0 && err != nil:
		return err
	case now.revision == 0 && raw == nil:
		i.shared = now
		return nil
	case now.revision == 0:
		return i.shareAll(ctx, local, raw)
	case err == nil && string(raw) == now.text:
		i.shared = now
		return i.fetchAll(ctx, local)
	}
	var lock Lock
	if err = i.cfg.Codec.Unmarshal([]byte(now.text), &lock); err == nil {
		err = lock.check()
	}
	if err != nil {
		return fault.New(fault.Conflict, "the lock of the installed plugins in the database is broken, or of a newer host: %w", err)
	}
	if err := i.fetchAll(ctx, lock); err != nil {
		return err
	}
	if err := i.step("follow lock", func() error { return i.store.write(LockFile, []byte(now.text)) }); err != nil {
		return err
	}
	i.shared = now
	i.keepLast([]byte(now.text))
	i.sweep()
	return nil
}

// digests returns the digests of all versions in the lock.
func (l Lock) digests() (list []string) {
	for _, e := range l.Plugins {
		list = append(list, e.SHA256)
		for _, v := range e.Former {
			list = append(list, v.SHA256)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// fetchAll stores the modules of the lock that this host lacks.
func (i *Installer) fetchAll(ctx context.Context, lock Lock) error {
	for _, digest := range lock.digests() {
		if !i.store.lacks(storePath(digest)) {
			continue
		}
		if err := i.fetchShared(ctx, digest); err != nil {
			return fmt.Errorf("fetch the module with the SHA-256 %s from the database: %w", digest, err)
		}
	}
	return nil
}

// fetchShared stores a module of the cluster. Its digest is that of the lock.
func (i *Installer) fetchShared(ctx context.Context, digest string) error {
	content, found, err := i.cfg.Shared.Module(ctx, digest)
	if err != nil {
		return err
	}
	if !found {
		return fault.New(fault.NotFound, "it is missing there: install the plugin again, or uninstall it")
	}
	if int64(len(content)) > i.cfg.MaxSize {
		return fault.New(fault.Invalid, "it has %d bytes, and a module has at most %d", len(content), i.cfg.MaxSize)
	}
	if got := spec.NewArtifact(content).SHA256(); got != digest {
		return fault.New(fault.Invalid, "what is there has the SHA-256 %s: it was changed in the database; install the plugin again", got)
	}
	return i.step("fetch module", func() error {
		if err := i.store.makeDir(partDir); err != nil {
			return err
		}
		if err := i.store.writePart(digest, content); err != nil {
			return err
		}
		return i.store.adopt(digest)
	})
}

// shareAll shares the lock and the modules of the first host of a cluster.
func (i *Installer) shareAll(ctx context.Context, lock Lock, raw []byte) error {
	for _, digest := range lock.digests() {
		if err := i.shareModule(ctx, digest); err != nil {
			return err
		}
	}
	i.shared = sharedLock{}
	return i.shareLock(ctx, raw)
}

// share gives a lock to the other hosts, with the module that it adds, "" for none. It is the
// commit of a transaction in a cluster, and does nothing for a host alone.
func (i *Installer) share(ctx context.Context, module string, lock []byte) error {
	if i.cfg.Shared == nil {
		return nil
	}
	if module != "" {
		if err := i.step("share module", func() error { return i.shareModule(ctx, module) }); err != nil {
			return err
		}
	}
	return i.step("share lock", func() error { return i.shareLock(ctx, lock) })
}

// shareModule gives a stored module to the other hosts.
func (i *Installer) shareModule(ctx context.Context, digest string) error {
	content, err := i.store.load(digest, i.cfg.MaxSize)
	if err != nil {
		return err
	}
	if err := i.cfg.Shared.PutModule(ctx, digest, content.Wasm()); err != nil {
		return fmt.Errorf("store the module for the other hosts: %w", err)
	}
	return nil
}

// shareLock gives a lock to the other hosts, unless one of them has changed it since this
// transaction began. It is the commit of a transaction in a cluster.
func (i *Installer) shareLock(ctx context.Context, text []byte) error {
	if i.cfg.Shared == nil {
		return nil
	}
	revision, err := i.cfg.Shared.Share(ctx, spec.SharedDocument{Kind: SharedKind, ID: sharedID, Body: text, Revision: i.shared.revision})
	if fault.Is(err, fault.Conflict) {
		return fault.New(fault.Conflict, "another host has installed or uninstalled a plugin at the same time: nothing was changed; try again")
	}
	if err != nil {
		return fmt.Errorf("store the installed plugins for the other hosts: %w", err)
	}
	i.shared = sharedLock{string(text), revision}
	return nil
}

// dropModules removes the modules of the cluster that no version refers to.
func (i *Installer) dropModules(ctx context.Context, lock Lock) {
	if i.cfg.Shared == nil {
		return
	}
	if err := i.cfg.Shared.RemoveModules(ctx, lock.digests()); err != nil {
		i.cfg.Logger.Warn("unused modules of the cluster not removed", "error", err)
	}
}

// completeShared makes the lock file that of the database when the transaction of a record is
// committed there: the host, or its connection, ended before it could write the file.
func (i *Installer) completeShared(ctx context.Context, r record) error {
	if i.cfg.Shared == nil {
		return nil
	}
	now, err := i.readShared(ctx)
	if err != nil {
		return err
	}
	i.shared = now
	var shared, after Lock
	if now.revision == 0 || i.cfg.Codec.Unmarshal([]byte(now.text), &shared) != nil || i.cfg.Codec.Unmarshal([]byte(r.After), &after) != nil {
		return nil // another step reports it
	}
	is, here := shared.Plugins[r.Name]
	meant, there := after.Plugins[r.Name]
	if here != there || is.SHA256 != meant.SHA256 {
		return nil
	}
	if _, raw, err := i.readLock(); err == nil && string(raw) == now.text {
		return nil
	}
	return i.store.write(LockFile, []byte(now.text))
}

// unshareLock takes back the lock of a record that is undone, unless another host has changed
// it since.
func (i *Installer) unshareLock(ctx context.Context, r record) error {
	if i.cfg.Shared == nil {
		return nil
	}
	now, err := i.readShared(ctx)
	if err != nil {
		return err
	}
	if i.shared = now; now.text != r.After {
		return nil
	}
	before := r.Before
	if before == nil {
		empty, err := i.cfg.Codec.Marshal(Lock{}.clone())
		if err != nil {
			return fault.New(fault.Internal, "write an empty lock: %w", err)
		}
		before = text(empty)
	}
	return i.step("undo share lock", func() error { return i.shareLock(ctx, []byte(*before)) })
}
