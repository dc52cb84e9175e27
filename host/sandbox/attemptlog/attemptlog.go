// Package attemptlog collects the lines that a guest logs during one attempt, and what it
// writes to its output, within spec.MaxAttemptLog.
package attemptlog

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/berth-host/berth/host/spec"
)

const (
	maxLine     = 2 << 10                              // bytes of a line
	maxFirst    = maxLine + 512                        // size of the first lines, which are kept
	markerSize  = 64 + spec.GuestLineSize              // of the line that counts the omitted ones
	maxSize     = spec.MaxAttemptLog - markerSize      // of all lines, as size counts
	ellipsis    = "…"                                  // at the end of a line that was cut
	compactFrom = 64                                   // omitted lines
	maxPending  = maxLine + utf8.UTFMax                // bytes of a line of the output without its end
	info        = "info"                               // the level of output
	omittedText = "%d lines between these are omitted" // at most 64 bytes with the number
)

// Log has the lines of one attempt: the first ones, up to about 2.5 KiB, and the last ones.
// A line with the number of the others is between them. Lines are cut at 2 KiB. A Log is
// for one goroutine. The zero value is empty; Reset keeps its memory.
type Log struct {
	lines   []spec.GuestLine
	first   int // lines[:first] are the first ones
	gap     int // lines[first:gap] are omitted, and the first of them is there for the marker
	size    int // of the others, see sizeOf
	omitted int
	pending []byte // of the output: a line without its end
}

func sizeOf(text string) int { return len(text) + spec.GuestLineSize }

// Add adds a line. Text is valid UTF-8.
func (l *Log) Add(at time.Time, level, text string) {
	if len(text) > maxLine {
		text = strings.ToValidUTF8(text[:maxLine-len(ellipsis)], "") + ellipsis
	}
	l.lines = append(l.lines, spec.GuestLine{At: at, Level: level, Message: text})
	l.size += sizeOf(text)
	if l.size <= maxFirst && l.omitted == 0 {
		l.first, l.gap = len(l.lines), len(l.lines)
	}
	for l.size > maxSize {
		l.size -= sizeOf(l.lines[l.gap].Message)
		if l.gap > l.first {
			l.lines[l.gap].Message = ""
		}
		l.gap++
		l.omitted++
	}
	if l.gap-l.first >= compactFrom {
		l.lines = slices.Delete(l.lines, l.first+1, l.gap)
		l.gap = l.first + 1
	}
}

// Write adds what the guest has written to its output, a line each, without blank lines.
func (l *Log) Write(at time.Time, p []byte) {
	for len(p) > 0 {
		text, after, ended := bytes.Cut(p, []byte{'\n'})
		l.pending = append(l.pending, text[:min(len(text), maxPending-len(l.pending))]...)
		if ended {
			l.endLine(at)
		}
		p = after
	}
}

// endLine adds the pending line.
func (l *Log) endLine(at time.Time) {
	if text := bytes.TrimRight(l.pending, " \t\r"); len(text) > 0 {
		l.Add(at, info, strings.ToValidUTF8(string(text), "\uFFFD"))
	}
	l.pending = l.pending[:0]
}

// Lines ends the last line at this time and returns all lines, valid until Reset; nil when
// there is none. It is called once before Reset.
func (l *Log) Lines(at time.Time) []spec.GuestLine {
	if len(l.pending) > 0 {
		l.endLine(at)
	}
	if len(l.lines) == 0 {
		return nil
	}
	if l.omitted > 0 {
		marker := l.lines[l.first]
		marker.Level, marker.Message = info, fmt.Sprintf(omittedText, l.omitted)
		l.lines[l.first] = marker
		l.lines = slices.Delete(l.lines, l.first+1, l.gap)
		l.gap = l.first + 1
	}
	return l.lines
}

// Empty reports whether nothing was logged since the last Reset.
func (l *Log) Empty() bool { return len(l.lines) == 0 && len(l.pending) == 0 }

// Reset forgets all lines.
func (l *Log) Reset() {
	clear(l.lines)
	*l = Log{lines: l.lines[:0], pending: l.pending[:0]}
}
