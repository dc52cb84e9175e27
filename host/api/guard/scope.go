package guard

import (
	"net/http"
	"slices"

	"github.com/berth-host/berth/host/api/problem"
	"github.com/berth-host/berth/host/fault"
)

// Scope is what a token allows.
type Scope string

// The scopes of tokens.
const (
	ScopeRead    Scope = "read"    // look at events, orders, plugins
	ScopePublish Scope = "publish" // publish events, create and move orders
	ScopeOperate Scope = "operate" // reload, enable, disable
	ScopeInstall Scope = "install" // install and uninstall plugins
)

// Token identifies a caller and lists its scopes.
type Token struct {
	ID     string // for the audit log and the rate limits; never the secret
	Name   string // for people
	Scopes []Scope
}

// Allows reports whether the token has this scope.
func (t Token) Allows(s Scope) bool { return slices.Contains(t.Scopes, s) }

// Verifier finds tokens by their secret. It must be safe for concurrent use, and its time
// must not depend on how much of a secret is right.
type Verifier interface {
	Verify(secret string) (Token, bool)
	// Valid reports whether a token that Verify returned is still valid.
	Valid(t Token) bool
}

// CheckScope returns a refusal with 403 when the token lacks the scope; the scope "" is
// every token's.
func (t Token) CheckScope(scope Scope) error {
	if scope == "" || t.Allows(scope) {
		return nil
	}
	return &problem.Refusal{
		Status: http.StatusForbidden,
		Header: [2]string{"WWW-Authenticate", `Bearer realm="berth", error="insufficient_scope", scope="` + string(scope) + `"`},
		Err:    fault.New(fault.Denied, "the token does not have the scope %s", scope),
	}
}
