package wire

import "time"

// Login is the body of POST /api/v1/session: exactly one of the fields is set.
type Login struct {
	Token string `json:"token,omitempty"` // secret of a token
	Code  string `json:"code,omitempty"`  // of a link that logs in once, see LoginLink
}

// LoginLink answers POST /api/v1/session/links.
type LoginLink struct {
	// Path of the console's page with the code in its fragment: /login#code=…. It logs in once,
	// with the rights of the token that asked for it.
	Path    string    `json:"path"`
	Expires time.Time `json:"expires"` // after which the code is not accepted
}
