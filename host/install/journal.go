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

// What a record is about.
const (
	opInstall   = "install"
	opUninstall = "uninstall"
)

// record is the journal: the transaction under way, and all that undoing it
// needs. Whether it is committed is not in it: the lock file says so, which holds
// After then.
type record struct {
	Op      string          `json:"op"`
	Name    string          `json:"name"`
	Added   string          `json:"added,omitempty"`   // the digest of a module that comes into the store
	Section json.RawMessage `json:"section,omitempty"` // of Settings.Snapshot
	Before  *string         `json:"before"`            // the lock file's text; null when there is none
	After   string          `json:"after"`
	Purge   bool            `json:"purge,omitempty"` // of an uninstallation
	// Undo says that the transaction was committed and is nevertheless undone,
	// because the plugin would not start after all.
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
		return nil, fault.New(fault.Conflict, "the journal is broken: %w; remove it if 'berth plugin verify' and the configuration are as they should be", err)
	}
	if r.Op != opInstall && r.Op != opUninstall || r.Added != "" && !validDigest(r.Added) {
		return nil, fault.New(fault.Conflict, "the journal is broken: it is of another kind")
	}
	return &r, nil
}

// committed reports whether the lock file is what the record makes of it. A person
// may have edited that since: then what it says of the plugin decides.
func (i *Installer) committed(r record) (bool, error) {
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

// recover finishes or undoes what the journal tells of.
func (i *Installer) recover(ctx context.Context) error {
	r, err := i.readJournal()
	if r == nil || err != nil {
		return err
	}
	committed, err := i.committed(*r)
	if err != nil {
		return err
	}
	switch {
	case !committed || r.Undo:
		err = i.undo(*r)
	case r.Op == opUninstall:
		if problem := i.tidy(ctx, *r); problem != nil { // said, not repeated for ever
			i.cfg.Logger.Error("a plugin is uninstalled, but not everything of it is gone", "plugin", r.Name, "error", problem)
		}
	default:
		err = i.step("finish", func() error { return i.store.remove(journalFile) })
		i.sweep()
	}
	if err == nil {
		i.cfg.Logger.Warn("an installation or its end was broken off, and is now cleared away", "plugin", r.Name, "op", r.Op, "kept", committed && !r.Undo)
	}
	return err
}

// undo takes back what a transaction has done to files, in the reverse order, and
// may be repeated. The journal goes last.
func (i *Installer) undo(r record) error {
	committed, err := i.committed(r)
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
				return nil // somebody has edited the lock
			}
			return i.store.remove(storePath(r.Added))
		}); err != nil {
			return err
		}
	}
	return i.step("undo finish", func() error { return i.store.remove(journalFile) })
}
