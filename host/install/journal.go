package install

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/berth-host/berth/host/fault"
)

// Kinds of records.
const (
	opInstall   = "install"
	opUninstall = "uninstall"
)

// record is the journal: the transaction under way with everything that undoing it needs.
// The lock file says whether it is committed: its text is After then.
type record struct {
	Op      string          `json:"op"`
	Name    string          `json:"name"`
	Added   string          `json:"added,omitempty"`   // the digest of the module added to the store
	Section json.RawMessage `json:"section,omitempty"` // of Settings.Snapshot
	Before  *string         `json:"before"`            // the lock file's text; null if there is none
	After   string          `json:"after"`
	Purge   bool            `json:"purge,omitempty"` // of an uninstallation
	// Undo means that the committed transaction is undone, because the promotion failed.
	Undo bool `json:"undo,omitempty"`
}

func text(raw []byte) *string {
	if raw == nil {
		return nil
	}
	s := string(raw)
	return &s
}

func (i *Installer) writeJournal(r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return i.store.write(journalFile, data)
}

func (i *Installer) readJournal() (*record, error) {
	data, err := i.store.read(journalFile, 4*maxLock)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, coded(err)
	}
	var r record
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return nil, fault.New(fault.Conflict,
			"the journal is broken: %w; remove it if 'berth plugin verify' and the configuration are as they should be", err)
	}
	if r.Op != opInstall && r.Op != opUninstall || r.Added != "" && !validDigest(r.Added) {
		return nil, fault.New(fault.Conflict, "the journal is broken: it is of another kind")
	}
	return &r, nil
}

// committed reports whether the record's transaction is committed. In a cluster the shared
// lock decides, and the file is made to agree with it. If the lock file was
// edited since, its entry of the plugin decides.
func (i *Installer) committed(ctx context.Context, r record) (bool, error) {
	if err := i.completeShared(ctx, r); err != nil {
		return false, err
	}
	if i.store.lacks(LockFile) {
		return false, nil
	}
	now, raw, err := i.readLock()
	switch {
	case err != nil:
		return false, err
	case string(raw) == r.After:
		return true, nil
	case r.Before != nil && string(raw) == *r.Before:
		return false, nil
	}
	var after Lock
	if err := i.cfg.Codec.Unmarshal([]byte(r.After), &after); err != nil {
		return false, fault.New(fault.Conflict, "the journal is broken: the lock in it: %w", err)
	}
	is, here := now.Plugins[r.Name]
	meant, there := after.Plugins[r.Name]
	return here == there && is.SHA256 == meant.SHA256, nil
}

// recover finishes or undoes the transaction in the journal.
func (i *Installer) recover(ctx context.Context) error {
	r, err := i.readJournal()
	if r == nil || err != nil {
		return err
	}
	committed, err := i.committed(ctx, *r)
	if err != nil {
		return err
	}
	switch {
	case !committed || r.Undo:
		err = i.undo(ctx, *r)
	case r.Op == opUninstall:
		if problem := i.tidy(ctx, *r); problem != nil { // logged, not retried
			i.cfg.Logger.Error("plugin uninstalled with leftovers", "plugin", r.Name, "error", problem)
		}
	default:
		err = i.step("finish", func() error { return i.store.remove(journalFile) })
		i.sweep()
	}
	if err == nil {
		i.cfg.Logger.Warn("interrupted installation recovered", "plugin", r.Name, "op", r.Op, "kept", committed && !r.Undo)
	}
	return err
}

// undoAfter undoes a transaction that has failed with err, and returns err.
func (i *Installer) undoAfter(ctx context.Context, err error, r record) error {
	if undoing := i.undo(context.WithoutCancel(ctx), r); undoing != nil {
		return fmt.Errorf("%w; undoing it failed too and is retried at the next start: %w", err, undoing)
	}
	return err
}

// undo undoes a transaction's changes of files in the reverse order, the journal last. It
// may be repeated.
func (i *Installer) undo(ctx context.Context, r record) error {
	committed, err := i.committed(ctx, r)
	if err != nil {
		return err
	}
	if committed && !r.Undo {
		r.Undo = true
		if err := i.step("undo journal", func() error { return i.writeJournal(r) }); err != nil {
			return err
		}
	}
	if committed {
		if err := i.unshareLock(ctx, r); err != nil {
			return err
		}
		if err := i.step("undo lock", func() error {
			if r.Before == nil {
				return i.store.remove(LockFile)
			}
			return i.store.write(LockFile, []byte(*r.Before))
		}); err != nil {
			return err
		}
	}
	if r.Section != nil {
		if err := i.step("undo settings", func() error { return i.cfg.Settings.Restore(r.Name, r.Section) }); err != nil {
			return fmt.Errorf("the settings of %s: %w", r.Name, err)
		}
	}
	if r.Added != "" {
		if err := i.step("undo store", func() error {
			if lock, _, err := i.readLock(); err == nil && lock.refers(r.Added) {
				return nil // the lock was edited
			}
			return i.store.remove(storePath(r.Added))
		}); err != nil {
			return err
		}
	}
	return i.step("undo finish", func() error { return i.store.remove(journalFile) })
}
