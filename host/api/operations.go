package api

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/api/openapi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// document is the description of the API, as OpenAPI 3.1.
type document struct {
	text []byte
	etag string // with its quotes
}

// describe builds the document of the operations. Their scopes are those of the
// routes, which there must be.
func (s *Server) describe() error {
	ops := operations()
	for i, op := range ops {
		at := slices.IndexFunc(s.table, func(r Route) bool { return r.Method == op.Method && templated(r.Path) == op.Path })
		if at < 0 {
			return fault.New(fault.Internal, "api: %s %s is described, and no endpoint", op.Method, op.Path)
		}
		ops[i].Scope = string(s.table[at].Scope)
	}
	text, err := openapi.Build(openapi.Info{
		Title:   "Berth",
		Version: s.cfg.Version,
		Description: "The API of a Berth host: publish events and look after the handlers that get them. " +
			"Every request under /api needs a bearer token; x-scope names the scope it must have. " +
			"Failures are application/problem+json with a stable code; 429, 503 and 507 say in Retry-After when to try again. " +
			"Every answer has the header Berth-Version, by which a client knows a host. " +
			"Answers may get more keys in later versions; requests with keys that are not known are refused.",
	}, wire.Problem{}, ops)
	if err != nil {
		return fault.New(fault.Internal, "api: %w", err)
	}
	sum := sha256.Sum256(text)
	s.document = document{text: text, etag: `"` + hex.EncodeToString(sum[:12]) + `"`}
	return nil
}

// templated writes a route's parameters in braces: :name becomes {name}.
func templated(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if name, ok := strings.CutPrefix(p, ":"); ok {
			parts[i] = "{" + name + "}"
		}
	}
	return strings.Join(parts, "/")
}

// showDocument is GET /openapi.json.
func (s *Server) showDocument(c echo.Context) error {
	header := c.Response().Header()
	header.Set("ETag", s.document.etag)
	header.Set("Cache-Control", "no-cache") // the next version has another
	same, err := unchanged(c, s.document.etag)
	if err != nil {
		return err
	}
	if same {
		return c.NoContent(http.StatusNotModified)
	}
	if err := c.Blob(http.StatusOK, "application/json", s.document.text); err != nil {
		return fmt.Errorf("answer the document: %w", err)
	}
	return nil
}

// operations describes every endpoint. The routes' table in server.go says which
// there are; a test holds the two together.
func operations() []openapi.Operation {
	return slices.Concat(hostOperations(), eventOperations(), deliveryOperations(), orderOperations(), pluginOperations(), installOperations())
}

// The tags, in which a document's reader finds the operations together.
const (
	tagHost    = "host"
	tagEvents  = "events"
	tagLetters = "dead letters"
	tagOrders  = "orders"
	tagPlugins = "plugins"
	tagInstall = "installation"
)

// answers is one answer, with a JSON body unless value is nil.
func answers(status int, value any, headers ...openapi.Parameter) []openapi.Answer {
	a := openapi.Answer{Status: status, Headers: headers}
	if value != nil {
		a.Content = []openapi.Content{{Value: value}}
	}
	return []openapi.Answer{a}
}

// body is a JSON body.
func body(value any) []openapi.Content { return []openapi.Content{{Value: value}} }

// inQuery is a parameter of the query; schema nil for any text.
func inQuery(name, description string, schema map[string]any) openapi.Parameter {
	return openapi.Parameter{In: "query", Name: name, Description: description, Schema: schema}
}

// pageParameters are those of every list.
func pageParameters(standard, most int) []openapi.Parameter {
	return []openapi.Parameter{
		inQuery("limit", "How many at most. A page may end earlier; next says whether there is more.",
			map[string]any{"type": "integer", "minimum": 1, "maximum": most, "default": standard}),
		inQuery("cursor", "next of the page before; absent for the first page.", nil),
	}
}

// oneOfTexts is the schema of one of these texts.
func oneOfTexts(texts ...string) map[string]any {
	return map[string]any{"type": "string", "enum": texts}
}

func atTime() map[string]any { return map[string]any{"type": "string", "format": "date-time"} }

func eventTypeSchema() map[string]any {
	return map[string]any{"type": "string", "pattern": eventTypePattern}
}

// eventTypePattern is what event.ParseType takes.
const eventTypePattern = `^[a-z0-9][a-z0-9_.-]{0,127}$`

// pluginNamePath is the name of a plugin in the path.
func pluginNamePath() openapi.Parameter {
	return openapi.Parameter{In: "path", Name: "name", Description: "The plugin's name.",
		Schema: map[string]any{"type": "string", "pattern": `^[a-z0-9][a-z0-9-]{0,62}$`}}
}

// ifMatchHeader makes a change conditional.
func ifMatchHeader(of string) openapi.Parameter {
	return openapi.Parameter{In: "header", Name: "If-Match",
		Description: "The ETag of " + of + " as it was last seen: if it is another by now the answer is 412, and nothing changes."}
}

func ifNoneMatchHeader() openapi.Parameter {
	return openapi.Parameter{In: "header", Name: "If-None-Match", Description: "An ETag that the caller has: the answer is 304 if it is still so."}
}

func etagHeader(of string) openapi.Parameter {
	return openapi.Parameter{Name: "ETag", Description: "Of " + of + ", for If-Match."}
}

// hostOperations are about the host itself.
func hostOperations() []openapi.Operation {
	type status struct {
		Status string `json:"status"`
	}
	return []openapi.Operation{
		{Method: http.MethodGet, Path: "/healthz", ID: "getHealth", Tag: tagHost, Summary: "Whether the process answers",
			Answers: answers(http.StatusOK, status{})},
		{Method: http.MethodGet, Path: "/readyz", ID: "getReadiness", Tag: tagHost, Summary: "Whether the host is ready",
			Description: "503 until every plugin that was there at the start is active or refused, and while the host shuts down.",
			Answers:     answers(http.StatusOK, status{})},
		{Method: http.MethodGet, Path: "/openapi.json", ID: "getDescription", Tag: tagHost, Summary: "This document",
			Parameters: []openapi.Parameter{ifNoneMatchHeader()},
			Answers: append(answers(http.StatusOK, openapi.Schema{"type": "object"}, openapi.Parameter{Name: "ETag", Description: "Of this document."}),
				openapi.Answer{Status: http.StatusNotModified, Description: "It is the one the caller has."})},
		{Method: http.MethodPost, Path: "/api/v1/events/reload-config", ID: "reloadConfig", Tag: tagHost, Summary: "Read the configuration again",
			Description: "A configuration that is wrong changes nothing: the answer is 422, and errors lists what is wrong, by file and line.",
			Answers:     answers(http.StatusOK, wire.ReloadResult{})},
		{Method: http.MethodGet, Path: "/api/v1/config", ID: "getConfig", Tag: tagHost, Summary: "Show the settings in force",
			Description: "Defaults included. What only a start can change is as at the start. Of a handler's config there are the keys only.",
			Parameters:  []openapi.Parameter{inQuery("handler", "What this handler runs with, its manifest's wishes included.", pluginNamePath().Schema)},
			Answers:     answers(http.StatusOK, wire.Settings{})},
		{Method: http.MethodGet, Path: "/api/v1/audit", ID: "listAudit", Tag: tagHost, Summary: "List the latest changes and refused attempts, the newest last",
			Parameters: []openapi.Parameter{inQuery("limit", "How many at most.", map[string]any{"type": "integer", "minimum": 1, "maximum": auditMost, "default": auditPage})},
			Answers:    answers(http.StatusOK, wire.List[wire.AuditRecord]{})},
	}
}
