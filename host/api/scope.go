package api

import "slices"

// Scope is what a token allows.
type Scope string

// The scopes.
const (
	ScopeRead    Scope = "read"    // look at events, orders, plugins
	ScopePublish Scope = "publish" // publish events, create and move orders
	ScopeOperate Scope = "operate" // reload, enable, disable
	ScopeInstall Scope = "install" // install and uninstall plugins
)

// Token is who a caller is and what it may do.
type Token struct {
	ID     string // for the audit log and the rate limits; never the secret
	Name   string // for people
	Scopes []Scope
}

// Allows reports whether the token has this scope.
func (t Token) Allows(s Scope) bool { return slices.Contains(t.Scopes, s) }

// Verifier knows tokens by their secret. The time it takes must not depend on
// how much of a secret is right.
type Verifier interface {
	Verify(secret string) (Token, bool)
	// Valid reports whether a token that Verify returned still counts.
	Valid(t Token) bool
}
