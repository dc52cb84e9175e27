package plugin

import (
	"cmp"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/plugin/folder"
	"github.com/berth-host/berth/host/spec"
)

// file is a module's file, and what is known of it.
type file struct {
	path      string    // of a pin: pinKey
	pin       *spec.Pin // nil for a file of a watched directory
	state     folder.State
	changedAt time.Time // when it was last seen to change
	goneAt    time.Time // when it was seen to be gone; zero: it is there
	confirmed bool      // a scan that began well after goneAt has confirmed it
	dirty     bool      // to be inspected when it is unchanged for Debounce
	reading   bool      // is being inspected
	recheck   bool      // was read so soon after a change that its times may hide another
	retryAt   time.Time // of an inspection without a change; zero: none
	retries   int
	retried   string // why the load that is retried has failed; "" if it is not

	// The result of the last inspection. name outlives contents without a name, so that a
	// broken new file stays a file of its plugin.
	name string
	folder.Identity

	reported *FileState // last argument of OnFile

	failed *failure // of the load of these contents
	vetted *vetted

	candidate *Candidate // of a pin that is being promoted
}

// failure is a target that could not be loaded or started.
type failure struct {
	target  target
	reason  string
	code    fault.Code
	retryAt time.Time // zero: after a change only
	retries int       // 0: it is not retried automatically
}

// temporary reports whether it is retried automatically.
func (f *failure) temporary() bool { return f.retries > 0 }

// vetted is a module that has passed the Loader.
type vetted struct {
	sha256 string
	memory int64
	style  string
}

func (f *file) there() bool { return f.goneAt.IsZero() }

func (f *file) markDirty(now time.Time) {
	f.dirty = true
	f.changedAt = now
	f.retries = 0
	f.retried = ""
	f.retryAt = time.Time{}
}

// reportFile reports a change of a file to OnFile, once its contents are judged.
func (l *loop) reportFile(f *file) {
	if f.pin != nil || l.m.config.OnFile == nil || f.there() && f.Incomplete != "" {
		return
	}
	var now *FileState
	if f.there() {
		now = &FileState{SHA256: f.SHA256, Manifest: f.Manifest, Refusal: f.Refusal}
	}
	if reflect.DeepEqual(f.reported, now) {
		return
	}
	l.m.config.OnFile(FileChange{Path: f.path, Name: f.title(), Before: f.reported, After: now})
	f.reported = now
}

// inOrder returns the files by precedence for a name. The order is cached until a file
// appears or disappears or the directories change. The slice is immutable.
func (l *loop) inOrder() []*file {
	if l.order == nil {
		l.sorts++
		ranks := make(map[*file]int, len(l.files))
		for _, f := range l.files {
			ranks[f] = l.rank(f)
		}
		l.order = slices.SortedFunc(maps.Values(l.files), func(a, b *file) int {
			return cmp.Or(ranks[a]-ranks[b], strings.Compare(a.path, b.path))
		})
	}
	return l.order
}

// add and drop change the set of files.
func (l *loop) add(f *file) {
	l.files[f.path] = f
	l.order = nil
}

func (l *loop) drop(path string) {
	delete(l.files, path)
	l.order = nil
}

func (l *loop) rank(f *file) int {
	if f.pin != nil {
		return -1
	}
	if i := slices.Index(l.dirs, filepath.Dir(f.path)); i >= 0 {
		return i
	}
	return len(l.dirs)
}
