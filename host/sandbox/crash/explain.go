package crash

import (
	"strings"

	frames "github.com/berth-host/berth/host/event/stack"
	"github.com/berth-host/berth/host/sandbox/guesttext"
)

// lastLine returns the last line that is not blank.
func lastLine(written string) string {
	written = strings.TrimRight(written, " \t\r\n")
	return strings.TrimSpace(written[strings.LastIndexByte(written, '\n')+1:])
}

// Explain returns the message of an attempt that the guest ended itself. Its first line is
// the crash that the guest reported, with the location if the report has none, or the cause
// with the last line that the guest wrote; the cause and the guest's output follow.
func Explain(cause, location, written string) string {
	headline, details, more := strings.Cut(cause, "\n")
	if report, _ := Find(written); report != "" {
		if _, known := frames.Location(report); location != "" && known == 0 {
			report += " (" + location + ")"
		}
		headline, details, more = report, cause, true
	} else if last := lastLine(written); last != "" {
		headline += ": " + last
	}
	message := guesttext.Line([]byte(headline))
	if more {
		message += "\n" + guesttext.Line([]byte(details)) // the names in a stack are the guest's
	}
	if written != "" && message != written {
		message += "\n" + written
	}
	return message
}

// ExplainExit returns the reason of a stdio guest that reports its verdict by an exit code.
// Its first line is the crash or the last line that the guest wrote; its output follows if
// that is more.
func ExplainExit(written string) string {
	headline, _ := Find(written)
	if headline == "" {
		headline = lastLine(written)
	}
	if headline = guesttext.Line([]byte(headline)); headline == written {
		return headline
	}
	return headline + "\n" + written
}
