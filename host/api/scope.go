package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"slices"
)

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
	Name   string // for the log; never the secret
	Scopes []Scope
}

// Allows reports whether the token has this scope.
func (t Token) Allows(s Scope) bool { return slices.Contains(t.Scopes, s) }

// Verifier knows tokens by their secret. The time it takes must not depend on
// how much of a secret is right.
type Verifier interface {
	Verify(secret string) (Token, bool)
}

// AdminToken returns a verifier that knows one secret, with every scope. An
// empty secret is never right.
func AdminToken(secret string) Verifier {
	return adminToken{set: secret != "", sum: sha256.Sum256([]byte(secret))}
}

type adminToken struct {
	set bool
	sum [sha256.Size]byte
}

func (a adminToken) Verify(secret string) (Token, bool) {
	sum := sha256.Sum256([]byte(secret))
	if subtle.ConstantTimeCompare(sum[:], a.sum[:]) != 1 || !a.set {
		return Token{}, false
	}
	return Token{Name: "admin", Scopes: []Scope{ScopeRead, ScopePublish, ScopeOperate, ScopeInstall}}, true
}
