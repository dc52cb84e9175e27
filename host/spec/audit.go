package spec

import "time"

// AuditQuery selects changes and refused attempts of the audit log; all fields that are not
// zero have to match.
type AuditQuery struct {
	Action string // such as disable
	Who    string // name or id of a token
	Target string // such as a plugin's name
	Result string // one of AuditResults
	Since  time.Time
	Until  time.Time // exclusive
	Cursor string    // wire.List.Next of the page before, "" for the latest changes
	Limit  int       // at least 1
}

// AuditResults returns the results of changes: begun is one that has no outcome yet, or
// whose host crashed.
func AuditResults() []string { return []string{"ok", "failed", "refused", "begun"} }
