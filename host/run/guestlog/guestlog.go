// Package guestlog keeps the latest log lines of plugins in memory, for people who look at
// one: up to 256 KiB for each plugin, allocated as lines come. It keeps nothing across a
// restart; the host's own log has the lines too, if its level shows them.
//
// Its only lock is held for the work on one line or answer. Safe for concurrent use.
package guestlog

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

const (
	maxBytes = 256 << 10 // of the lines of one plugin
	overhead = 160       // bytes of a line besides its texts
	// maxPlugins bounds the number of plugins. The one whose last line is the oldest makes
	// way for another.
	maxPlugins = 1024
)

// Logs has the lines of all plugins.
type Logs struct {
	now func() time.Time

	mu      sync.Mutex
	last    uint64 // Seq of the latest line of any plugin
	plugins map[string]*lines
}

// New returns Logs without lines. now returns the time of day.
func New(now func() time.Time) *Logs { return &Logs{now: now, plugins: make(map[string]*lines)} }

// lines are those of one plugin, oldest first, from first on.
type lines struct {
	list      []wire.LogLine
	first     int
	bytes     int
	evicted   uint64
	discarded uint64 // since the start
	pending   uint64 // of these, since the latest line
	latest    uint64 // Seq of the latest line, or of when one was discarded
}

// Of returns the log of a plugin for a pool.
func (l *Logs) Of(plugin string) sandbox.GuestLog { return guest{l, plugin} }

// guest implements sandbox.GuestLog.
type guest struct {
	logs   *Logs
	plugin string
}

// Write implements sandbox.GuestLog.
func (g guest) Write(line sandbox.LogLine) {
	l := g.logs
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.plugin(g.plugin)
	l.last++
	p.latest = l.last
	p.add(wire.LogLine{Seq: l.last, At: l.now().UTC(), Level: string(spec.LogLevelOf(line.Level)), Message: strings.Clone(line.Text),
		EventID: strings.Clone(line.EventID), Attempt: line.Attempt, Discarded: p.pending})
	p.pending = 0
}

// Discarded implements sandbox.GuestLog.
func (g guest) Discarded() {
	l := g.logs
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.plugin(g.plugin)
	p.latest = l.last
	p.discarded++
	p.pending++
}

// plugin returns the lines of a plugin. The caller holds the lock.
func (l *Logs) plugin(name string) *lines {
	p := l.plugins[name]
	if p != nil {
		return p
	}
	if len(l.plugins) >= maxPlugins {
		oldest := ""
		for other, p := range l.plugins {
			if oldest == "" || p.latest < l.plugins[oldest].latest {
				oldest = other
			}
		}
		delete(l.plugins, oldest)
	}
	p = &lines{}
	l.plugins[name] = p
	return p
}

func (p *lines) add(line wire.LogLine) {
	size := sizeOf(line)
	for p.bytes+size > maxBytes && p.first < len(p.list) {
		p.bytes -= sizeOf(p.list[p.first])
		p.list[p.first] = wire.LogLine{}
		p.first++
		p.evicted++
	}
	if p.first > len(p.list)/2 {
		n := copy(p.list, p.list[p.first:])
		clear(p.list[n:])
		p.list, p.first = p.list[:n], 0
	}
	p.list = append(p.list, line)
	p.bytes += size
}

func sizeOf(line wire.LogLine) int { return overhead + len(line.Message) + len(line.EventID) }

// Log returns lines of a plugin: up to q.Limit of those after q.After, or without that the
// latest ones. It returns none for an unknown plugin.
func (l *Logs) Log(plugin string, q spec.LogQuery) wire.PluginLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	log := wire.PluginLog{Plugin: plugin, Items: []wire.LogLine{}, Last: l.last}
	p := l.plugins[plugin]
	if p == nil {
		return log
	}
	log.Discarded, log.Evicted = p.discarded, p.evicted
	if q.After > l.last { // it is of the host's run before
		q.After = 0
	}
	for _, line := range p.list[p.first:] {
		if line.Seq <= q.After || q.EventID != "" && line.EventID != q.EventID {
			continue
		}
		if len(log.Items) == q.Limit {
			if !q.Latest {
				next := strconv.FormatUint(log.Items[len(log.Items)-1].Seq, 10)
				log.Next = &next
				break
			}
			log.Items = log.Items[1:]
		}
		log.Items = append(log.Items, line)
	}
	return log
}
