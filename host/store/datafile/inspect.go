package datafile

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/schema"
)

// Inspection describes a data file.
type Inspection struct {
	InUse  bool   // by a Store of another process, or of this one
	PID    string // of the process that uses it, from the lock file; may be ""
	Schema int    // migrations it has had; 0 while InUse
	Latest int    // migrations this program knows
	Last   uint64 // its last Seq; 0 while InUse
}

// Inspect looks at a data file without changing it: whether it is in use and, if
// not, whether it is one of Berth's and can be read. It does not read all of it.
// fault.NotFound: there is none. fault.Invalid: it is something else, or newer
// than this program. fault.Internal: it is damaged. fault.Exhausted: the disk is too
// full to read it. fault.Conflict: it lacks
// acknowledged writes, or is missing or empty although a store was in use here;
// evidence is as Config.Evidence.
func Inspect(ctx context.Context, path string, evidence ...string) (found Inspection, err error) {
	found.Latest = schema.Latest()
	if found.InUse, found.PID, err = lockOwner(path); err != nil || found.InUse {
		return found, err
	}
	past, err := readHistory(path, evidence)
	if err != nil {
		return found, err
	}
	if past.empty {
		if lacks := past.ofEmpty(path); lacks != nil {
			return found, lacks.err()
		}
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return found, fault.New(fault.NotFound, "%w", err)
	} else if err != nil {
		return found, fault.New(fault.Unavailable, "%w", err)
	}
	head, err := examine(ctx, path, sharedIndex)
	found.Schema, found.Last = head.Schema, head.At.Seq
	var lacks *loss
	switch {
	case err != nil && lacksCapacity(path):
		return found, fault.New(fault.Exhausted, "%s cannot be read: the disk is full: %w", path, err)
	case err != nil:
		return found, fault.New(fault.Internal, "%s cannot be read: %w", path, err)
	case head.fresh(): // the first start ended before it wrote anything
		if !past.empty {
			lacks = past.ofEmpty(path)
		}
	case head.Application != schema.ApplicationID:
		return found, fault.New(fault.Invalid, "%s is not a file of Berth", path)
	case head.Schema > found.Latest:
		return found, fault.New(fault.Invalid, "%s was written by a newer Berth (schema %d, this one knows %d)", path, found.Schema,
			found.Latest)
	default:
		lacks = past.of(path, head.At)
	}
	if lacks != nil {
		return found, lacks.err()
	}
	return found, nil
}

// lockOwner reports whether a data file is locked, and the owner's process id.
func lockOwner(path string) (bool, string, error) {
	f, err := os.Open(path + ".lock")
	if errors.Is(err, fs.ErrNotExist) {
		return false, "", nil
	}
	if err != nil {
		return false, "", fault.New(fault.Unavailable, "%w", err)
	}
	defer f.Close() // and with it the lock
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		owner, _ := io.ReadAll(io.LimitReader(f, 20))
		return true, strings.TrimSpace(string(owner)), nil
	}
	if err != nil {
		return false, "", fault.New(fault.Unavailable, "%w", err)
	}
	return false, "", nil
}
