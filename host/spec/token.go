package spec

import "slices"

// The scopes of tokens.
const (
	ScopeRead    = "read"    // see events, orders and plugins
	ScopePublish = "publish" // publish events, create and change orders
	ScopeOperate = "operate" // reload, enable, disable
	ScopeInstall = "install" // install and uninstall plugins

	// ScopeAdmin is the admin token's alone: make backups, which have everything of the host.
	ScopeAdmin = "admin"
)

// Scopes returns the scopes that tokens can be made with.
func Scopes() []string { return []string{ScopeRead, ScopePublish, ScopeOperate, ScopeInstall} }

// Token identifies a caller of the API and lists its scopes. It is not the secret.
type Token struct {
	ID     string   `json:"id"`
	Name   string   `json:"name"`
	Scopes []string `json:"scopes"`
}

// Allows reports whether the token has a scope.
func (t Token) Allows(scope string) bool { return slices.Contains(t.Scopes, scope) }
