package spec

// IssueQuery selects issues. The zero value of a field selects all.
type IssueQuery struct {
	Handler string
	Class   string
	Version string   // in which it occurred
	States  []string // any of them
	Cursor  string   // wire.List.Next of the page before
	Limit   int      // 0 is all
}

// OperationQuery selects operations. The zero value of a field selects all.
type OperationQuery struct {
	Kind   string
	Plugin string
	State  string
	Cursor string // wire.List.Next of the page before
	Limit  int    // 0 is all
}
