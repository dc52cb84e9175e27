package describe

import (
	"net/http"

	"github.com/berth-host/berth/host/api/openapi"
	"github.com/berth-host/berth/host/wire"
)

// sessionOperations are about the sessions of browsers.
func sessionOperations() []openapi.Operation {
	const path = "/api/v1/session"
	console := openapi.Parameter{In: "header", Name: "Berth-Console", Required: true,
		Description: "1: pages of other sites cannot set this header. A session sends it with every change."}
	cookie := openapi.Parameter{Name: "Set-Cookie", Description: "The cookie of the session: HttpOnly, SameSite=Strict."}
	return []openapi.Operation{
		{Method: http.MethodPost, Path: path, ID: "login", Tag: tagSession, Summary: "Begin a session of a browser",
			Description: "The body has the secret of a token, or the code of a link that logs in once. The answer sets a cookie, which this " +
				"host's own pages may use in place of a token. A session has the scopes of its token and ends with it, 12 hours after its last " +
				"request, 7 days after its login, and with the host. Wrong secrets are limited by address: 429.",
			Parameters: []openapi.Parameter{console}, Body: body(wire.Login{}), Answers: answers(http.StatusCreated, wire.Session{}, cookie)},
		{Method: http.MethodGet, Path: path, ID: "getSession", Tag: tagSession, Summary: "Show what the caller's token is and may do",
			Description: "expires is when the session ends without a further request; null for a caller with a token.",
			Answers:     answers(http.StatusOK, wire.Session{})},
		{Method: http.MethodDelete, Path: path, ID: "logout", Tag: tagSession, Summary: "End the session",
			Description: "A caller with a token has no session: nothing changes.",
			Answers:     []openapi.Answer{{Status: http.StatusNoContent, Headers: []openapi.Parameter{cookie}}}},
		{Method: http.MethodPost, Path: path + "/links", ID: "createLoginLink", Tag: tagSession, Summary: "Make a link that logs in once",
			Description: "The link is for a browser on the operator's machine: it logs in with the admin token's rights, once, within 10 " +
				"minutes. Only the admin token may ask for it.",
			Answers: answers(http.StatusCreated, wire.LoginLink{})},
	}
}
