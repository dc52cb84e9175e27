package guard

import (
	"net/http"

	"github.com/berth-host/berth/host/api/problem"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// Verifier finds tokens by their secret. It must be safe for concurrent use, and its time
// must not depend on how much of a secret is right.
type Verifier interface {
	Verify(secret string) (spec.Token, bool)
	// Valid reports whether a token that Verify returned is still valid.
	Valid(t spec.Token) bool
}

// CheckScope returns a refusal with 403 when the token lacks the scope; the scope "" is
// every token's.
func CheckScope(t spec.Token, scope string) error {
	if scope == "" || t.Allows(scope) {
		return nil
	}
	reason := "the token does not have the scope " + scope
	if scope == spec.ScopeAdmin {
		reason = "only the admin token may do this: it is in the file admin.token in the host's data directory"
	}
	return &problem.Refusal{
		Status: http.StatusForbidden,
		Header: [2]string{"WWW-Authenticate", `Bearer realm="berth", error="insufficient_scope", scope="` + scope + `"`},
		Err:    fault.New(fault.Denied, "%s", reason),
	}
}
