package issues

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

const (
	maxMessage  = 500 // bytes of a headline
	maxLine     = 200 // bytes of a guest's line
	maxKey      = event.MaxText
	maxKeys     = 20
	maxVersions = 8
	maxLatest   = 20
	maxMinutes  = 60
	// maxKeyCount is where the counting of distinct keys ends.
	maxKeyCount = 1000
)

// group is one issue. Tracker.mu guards it. Of the embedded Issue, Keys, Minutes and Latest
// are only set in copies.
type group struct {
	wire.Issue
	fingerprint fingerprint
	id          uint64

	minutes [maxMinutes]uint32 // a ring: minute m is at m % maxMinutes
	minute  int64              // the newest, in minutes since 1970
	latest  []wire.IssueFailure
	next    int      // index in latest of the oldest, once it is full
	keys    []string // newest first
	hashes  []uint32 // of distinct keys, ascending, at most maxKeyCount

	lastSHA, lastVersion string // of the last failure

	dirty bool // it is in Tracker.dirty
}

// record counts a failed attempt.
func (g *group) record(rec event.Record, d event.Delivery, at time.Time, key, version string) {
	g.Count++
	if d.Status == event.StatusDead {
		g.Dead++
	}
	if g.FirstSeen.IsZero() || at.Before(g.FirstSeen) {
		g.FirstSeen = at
	}
	if at.After(g.LastSeen) {
		g.LastSeen = at
	}
	g.countMinute(at, 1)
	g.addVersion(d.SHA256, version)
	key = strings.Clone(event.Headline(key, maxKey))
	g.addKey(key)
	f := wire.IssueFailure{At: at, EventID: strings.Clone(rec.Event.ID()), Key: key, Attempt: d.Attempts, Version: g.lastVersion,
		SHA256: g.lastSHA}
	f.Log = strings.Clone(event.Headline(lastLine(d), maxLine))
	g.SampleEventID = f.EventID
	g.addFailure(f)
}

// lastLine returns the last line that the guest logged before the error; "" for none. A
// language's runtime prints the error itself and the stack as lines too.
func lastLine(d event.Delivery) string {
	const minLength = 4 // of a line by which the printed error is recognised
	lines := d.Logs
	for i, l := range lines {
		if text := strings.TrimSpace(l.Message); len(text) >= minLength && strings.HasPrefix(d.ErrorMessage, text) {
			lines = lines[:i]
			break
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return lines[len(lines)-1].Message
}

// countMinute adds failures to a minute. One that is older than all minutes is not counted in
// them.
func (g *group) countMinute(at time.Time, n uint32) {
	minute := at.Unix() / 60
	g.advance(minute)
	if minute > g.minute-maxMinutes {
		g.minutes[index(minute)] += n
	}
}

// advance clears the minutes between the newest one and a later one.
func (g *group) advance(to int64) {
	if to-g.minute >= maxMinutes {
		clear(g.minutes[:])
		g.minute = to
		return
	}
	for g.minute < to {
		g.minute++
		g.minutes[index(g.minute)] = 0
	}
}

func index(minute int64) int { return int(((minute % maxMinutes) + maxMinutes) % maxMinutes) }

// history returns the failures of the last 60 minutes, the oldest first.
func (g *group) history(now time.Time) []uint32 {
	list := make([]uint32, maxMinutes)
	last := now.Unix() / 60
	for i := range list {
		minute := last - maxMinutes + 1 + int64(i)
		if minute > g.minute-maxMinutes && minute <= g.minute {
			list[i] = g.minutes[index(minute)]
		}
	}
	return list
}

// addVersion notes the version of a failure: the first one and the latest ones are kept.
func (g *group) addVersion(sha256, version string) {
	if version == "" && len(sha256) >= 12 {
		version = sha256[:12]
	}
	if sha256 == g.lastSHA && version == g.lastVersion {
		return
	}
	g.lastSHA, g.lastVersion = strings.Clone(sha256), strings.Clone(version)
	if version == "" || slices.Contains(g.Versions, version) {
		return
	}
	g.Versions = append(slices.Clip(g.Versions), g.lastVersion) // copies share the list
	if len(g.Versions) > maxVersions {
		g.Versions = slices.Delete(slices.Clone(g.Versions), 1, 2)
	}
}

// addKey notes an affected key.
func (g *group) addKey(key string) {
	if key == "" {
		return
	}
	at := slices.Index(g.keys, key)
	switch {
	case at == 0:
		return
	case at < 0:
		g.countKey(hashOf(key))
		if len(g.keys) < maxKeys {
			g.keys = append(g.keys, "")
		}
		at = len(g.keys) - 1
	}
	copy(g.keys[1:at+1], g.keys[:at])
	g.keys[0] = key
}

// countKey counts a distinct key by its hash.
func (g *group) countKey(hash uint32) {
	at, found := slices.BinarySearch(g.hashes, hash)
	if !found && len(g.hashes) < maxKeyCount {
		g.hashes = slices.Insert(g.hashes, at, hash)
	}
}

// hashOf is FNV-1a, folded to 32 bits: it is stored.
func hashOf(key string) uint32 {
	h := uint64(14695981039346656037)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	return uint32(h) ^ uint32(h>>32)
}

// addFailure adds the latest failure.
func (g *group) addFailure(f wire.IssueFailure) {
	if len(g.latest) < maxLatest {
		g.latest = append(g.latest, f)
		return
	}
	g.latest[g.next] = f
	g.next = (g.next + 1) % maxLatest
}

// failures returns the latest failures, newest first.
func (g *group) failures() []wire.IssueFailure {
	list := append(slices.Clone(g.latest[g.next:]), g.latest[:g.next]...)
	slices.Reverse(list)
	return list
}

// summary returns the issue as lists show it. It shares nothing that changes.
func (g *group) summary() wire.Issue {
	i := g.Issue
	i.Keys, i.KeyCount = append([]string{}, g.keys...), len(g.hashes)
	if i.Versions == nil {
		i.Versions = []string{}
	}
	return i
}

// details returns the issue with everything.
func (g *group) details(now time.Time) wire.Issue {
	i := g.summary()
	i.Minutes, i.Latest = g.history(now), g.failures()
	return i
}

// isActive reports whether the issue is open or acknowledged.
func (g *group) isActive() bool {
	return g.State == wire.IssueOpen || g.State == wire.IssueAcknowledged
}

// absorb adds the counts of another issue of the same handler, of which only the sums remain.
func (g *group) absorb(from *group) {
	g.Count += from.Count
	g.Dead += from.Dead
	if g.FirstSeen.IsZero() || from.FirstSeen.Before(g.FirstSeen) {
		g.FirstSeen = from.FirstSeen
	}
	if from.LastSeen.After(g.LastSeen) {
		g.LastSeen, g.SampleEventID = from.LastSeen, from.SampleEventID
	}
	g.advance(from.minute)
	for minute := from.minute - maxMinutes + 1; minute <= from.minute; minute++ {
		if minute > g.minute-maxMinutes {
			g.minutes[index(minute)] += from.minutes[index(minute)]
		}
	}
	for _, v := range from.Versions {
		g.addVersion("", v)
	}
	for _, key := range slices.Backward(from.keys) {
		g.addKey(key)
	}
	for _, hash := range from.hashes {
		g.countKey(hash)
	}
	both := append(g.failures(), from.failures()...)
	slices.SortStableFunc(both, func(a, b wire.IssueFailure) int { return a.At.Compare(b.At) })
	g.latest, g.next = slices.Clone(both[max(0, len(both)-maxLatest):]), 0
}

// position is the file and line of a frame, without the directory.
func position(f spec.Frame) string {
	if f.File == "" {
		return ""
	}
	return path.Base(f.File) + ":" + strconv.Itoa(f.Line)
}

// newestFirst orders issues by the time they were last seen, descending, then by id.
func newestFirst(a, b *group) int {
	return cmp.Or(b.LastSeen.Compare(a.LastSeen), cmp.Compare(b.id, a.id))
}
