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

// file is a module's file as far as it is known.
type file struct {
	path      string    // of a pin: pinKey
	pin       *spec.Pin // nil for a file of a watched directory
	state     folder.State
	changedAt time.Time // when it was last seen to change
	goneAt    time.Time // when it was seen to be gone; zero: it is there
	confirmed bool      // a look that began a while after goneAt found the same
	dirty     bool      // to be inspected when at rest
	reading   bool      // is being inspected
	recheck   bool      // was read so shortly after a change that its times could not tell of another
	retryAt   time.Time // look again though nothing changed; zero: no
	retries   int
	retried   string // why the load that is tried again has failed; "" when it is not

	// What the last inspection came to. name outlives contents that have none,
	// so that a broken new file stays the business of the plugin it was.
	name string
	folder.Identity

	reported *FileState // what OnFile was told last

	failed *failure // of the load of these contents
	vetted *vetted

	candidate *Candidate // of a pin that is being promoted
}

// failure is a target that could not be brought about.
type failure struct {
	target  target
	reason  string
	code    fault.Code
	retryAt time.Time // zero: not before something changes
	retries int       // 0: it is not tried again by itself
}

// passing reports whether it is tried again by itself.
func (f *failure) passing() bool { return f.retries > 0 }

// vetted is what passed the Loader without having been started.
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

// tell tells OnFile what has become of a file, when that is known.
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

// inOrder returns the files, the ones that win a name first. It sorts them after
// one has come or gone, or the directories have changed. The slice is not changed
// afterwards.
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

// add and drop change which files there are.
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
