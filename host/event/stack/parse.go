package stack

import (
	"strings"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// Bounds of what Parse reads and returns.
const (
	MaxMessage = 64 << 10 // bytes of a message
	MaxFrames  = 32
)

const (
	maxHeadline = 1000 // bytes of a headline in which the text of an error is looked for
	maxText     = 80   // bytes of that text
)

// section is one stack in a message.
type section struct {
	text   string // of the error that it belongs to
	host   bool   // the host wrote it
	frames []spec.Frame
}

// Parse returns the calls in the message of a failed attempt, the innermost one first, at
// most MaxFrames: those that the guest's runtime wrote with the error in the headline, if one
// of them is the guest's own code and has a line; otherwise the stack that the host found;
// otherwise the location in the headline. It returns nil when the message has no call, or
// only those of another error.
func Parse(message string) []spec.Frame {
	if len(message) > MaxMessage {
		message = message[:MaxMessage]
	}
	headline := event.Headline(message, maxHeadline)
	var best section
	for _, s := range sections(message) {
		if len(s.frames) == 0 || !s.explains(headline) {
			continue
		}
		if best.frames == nil || s.located() {
			best = s
		}
	}
	if best.frames != nil {
		return best.frames
	}
	if file, line := Location(headline); line > 0 {
		return []spec.Frame{clean(spec.Frame{File: file, Line: line})}
	}
	return nil
}

// explains reports whether a stack is of the error in the headline: the host wrote it, or
// the headline quotes its error.
func (s *section) explains(headline string) bool {
	if s.host {
		return true
	}
	text := strings.TrimSpace(s.text)
	text = strings.TrimPrefix(text, `Exception in thread "main" `)
	if thread, panicked, ok := strings.Cut(text, " panic: "); ok && strings.HasPrefix(thread, "thread ") {
		text = panicked
	}
	if len(text) > maxText {
		text = text[:maxText]
	}
	return text != "" && strings.Contains(headline, text)
}

// located reports whether the guest's own code is among the frames, with its line.
func (s *section) located() bool {
	top := Top(s.frames)
	return top != nil && top.Line > 0
}

// Top returns the first frame that is the guest's own code, and not its runtime's, its
// standard library's or the SDK's; nil when there is none.
func Top(frames []spec.Frame) *spec.Frame {
	for i := range frames {
		if !Runtime(frames[i]) {
			return &frames[i]
		}
	}
	return nil
}

// sections returns the stacks in a message, in their order.
func sections(message string) []section {
	r := reader{lines: strings.Split(message, "\n")}
	var list []section
	before := "" // the text of the error that a stack follows
	for r.next < len(r.lines) {
		s := section{text: before}
		line := r.take()
		switch {
		case line == pythonStart:
			s.frames, s.text = r.python()
		case strings.HasPrefix(line, "goroutine ") && strings.HasSuffix(line, "]:"):
			s.frames = r.golang()
		case line == "stack backtrace:":
			s.frames = r.rust()
		case isCall(line):
			r.next--
			s.host = r.next == 1 || r.next == 2 && strings.HasSuffix(before, " "+strings.TrimSpace(line))
			s.frames = r.calls()
		case isZig(line):
			r.next--
			s.frames = r.zig()
		default:
			if text := strings.TrimSpace(line); text != "" && !strings.HasPrefix(text, "[signal ") {
				before = text
			}
			continue
		}
		list = append(list, s)
	}
	return list
}

// reader goes through the lines of a message.
type reader struct {
	lines []string
	next  int
}

func (r *reader) take() string {
	line := strings.TrimRight(r.lines[r.next], "\r")
	r.next++
	return line
}

// peek returns the next line, "" at the end.
func (r *reader) peek() string {
	if r.next == len(r.lines) {
		return ""
	}
	return strings.TrimRight(r.lines[r.next], "\r")
}

// add adds a frame, within the bound.
func add(frames []spec.Frame, f spec.Frame) []spec.Frame {
	if len(frames) == MaxFrames || f == (spec.Frame{}) {
		return frames
	}
	return append(frames, clean(f))
}
