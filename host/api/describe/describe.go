// Package describe describes the API: every operation with its parameters, bodies and
// answers, as an OpenAPI 3.1 document (package openapi writes it). A test compares it with
// the routes. Read describe.go first.
package describe

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/berth-host/berth/host/api/openapi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Sizes of pages, in items.
const (
	PageSize    = 50   // of every list, unless the caller says otherwise
	MaxPage     = 500  // of events, dead letters and orders
	MaxListings = 200  // of the marketplace
	MaxAudit    = 1000 // of the audit log
	MaxLogLines = 1000 // of a plugin's log
	MaxBatch    = 1000 // events of a batch
)

// BackupType is the media type of a backup.
const BackupType = "application/x-tar"

// EventIDHeader names the event that a change of an order published.
const EventIDHeader = "Berth-Event-Id"

// Document returns the OpenAPI document of the API. scope returns the scope that an
// operation needs, false if there is no such endpoint, which is an error.
func Document(version string, scope func(method, path string) (string, bool)) ([]byte, error) {
	ops := Operations()
	for i, op := range ops {
		var found bool
		if ops[i].Scope, found = scope(op.Method, op.Path); !found {
			return nil, fault.New(fault.Internal, "describe: %s %s is described, and no endpoint", op.Method, op.Path)
		}
	}
	text, err := openapi.Build(openapi.Info{
		Title:   "Berth",
		Version: version,
		Description: "The API of a Berth host: publish events and look after the handlers that get them. " +
			"Every request under /api needs a bearer token; x-scope names the scope it must have. " +
			"This host's own pages may use the cookie of a session instead. " +
			"Failures are application/problem+json with a stable code; 429, 503 and 507 say in Retry-After when to try again. " +
			"Every answer has the header Berth-Version, by which a client knows a host. " +
			"Answers may get more keys in later versions; requests with keys that are not known are refused.",
		Raw: map[string]any{"Event.metadata": event.Metadata{}},
	}, wire.Problem{}, ops)
	if err != nil {
		return nil, fmt.Errorf("describe: %w", err)
	}
	return text, nil
}

// Operations describes every operation, without its scope.
func Operations() []openapi.Operation {
	return slices.Concat(hostOperations(), clusterOperations(), figureOperations(), sessionOperations(), eventOperations(), deliveryOperations(),
		catalogOperations(), issueOperations(), operationOperations(), orderOperations(), pluginOperations(), stateOperations(), installOperations())
}

// The tags group the operations of the document.
const (
	tagHost        = "host"
	tagSession     = "session"
	tagEvents      = "events"
	tagDeadLetters = "dead letters"
	tagOrders      = "orders"
	tagPlugins     = "plugins"
	tagInstall     = "installation"
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

// inQuery is a parameter of the query; a nil schema is any text.
func inQuery(name, description string, schema map[string]any) openapi.Parameter {
	return openapi.Parameter{In: "query", Name: name, Description: description, Schema: schema}
}

// pageParameters are those of every list.
func pageParameters(maxLimit int) []openapi.Parameter {
	return []openapi.Parameter{
		inQuery("limit", "How many at most. A page may end earlier; next says whether there is more.",
			map[string]any{"type": "integer", "minimum": 1, "maximum": maxLimit, "default": PageSize}),
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
	return openapi.Parameter{In: "header", Name: "If-None-Match",
		Description: "An ETag that the caller has: the answer is 304 if it is still so."}
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
			Answers: append(answers(http.StatusOK, openapi.Schema{"type": "object"},
				openapi.Parameter{Name: "ETag", Description: "Of this document."}),
				openapi.Answer{Status: http.StatusNotModified, Description: "It is the one the caller has."})},
		{Method: http.MethodPost, Path: "/api/v1/events/reload-config", ID: "reloadConfig", Tag: tagHost, Summary: "Read the configuration again",
			Description: "An invalid configuration changes nothing: the answer is 422, and errors lists its errors, by file and line.",
			Answers:     answers(http.StatusOK, wire.ReloadResult{})},
		{Method: http.MethodPost, Path: "/api/v1/config/adopt", ID: "adoptDecisions", Tag: tagHost,
			Summary: "Take the decisions of a cluster's hosts over into their files",
			Description: "The decisions about handlers that the API has made, as YAML for the files of the hosts. They are removed from the " +
				"database then, unless keep is set: from then on the files decide. 409 on a host that is not one of a cluster.",
			Body: body(wire.Adopt{}), Answers: answers(http.StatusOK, wire.Adopted{})},
		{Method: http.MethodGet, Path: "/api/v1/config", ID: "getConfig", Tag: tagHost, Summary: "Show the settings in force",
			Description: "Defaults included. What only a start can change is as at the start. Of a handler's config there are the keys only.",
			Parameters: []openapi.Parameter{inQuery("handler", "What this handler runs with, its manifest's wishes included.",
				pluginNamePath().Schema)},
			Answers: answers(http.StatusOK, wire.Settings{})},
		{Method: http.MethodGet, Path: "/api/v1/config/file", ID: "getConfigFile", Tag: tagHost,
			Summary: "Show the configuration file, and what a reload would change",
			Description: "The file as it is now, with the values of handlers' configs. errors says why a reload would refuse it; changed is " +
				"empty then.",
			Answers: answers(http.StatusOK, wire.ConfigFile{})},
		{Method: http.MethodPost, Path: "/api/v1/config/plan", ID: "planConfig", Tag: tagHost,
			Summary: "Predict what another configuration, or version of a plugin, would do",
			Description: "Events of the log are given to the configuration in force and to another one, and the deliveries are compared; " +
				"nothing is delivered and nothing changes. The other one is config, the host's file as it is now without it, or the one in " +
				"force with another manifest. Beyond max_events (10,000; at most 100,000) a sample is examined, spread evenly over the time, " +
				"and 20 s at most: limit says what ended it. A config that a reload would refuse is 422; one plan is made at a time: 429.",
			Body: body(wire.NewPlan{}), Answers: answers(http.StatusOK, wire.ConfigPlan{})},
		{Method: http.MethodGet, Path: "/api/v1/doctor", ID: "getFindings", Tag: tagHost, Summary: "Examine the machine and this host",
			Description: "As berth doctor does, except for the compiler and the content of the store, which a host that runs has open.",
			Answers:     answers(http.StatusOK, wire.Findings{})},
		{Method: http.MethodGet, Path: "/api/v1/audit", ID: "listAudit", Tag: tagHost,
			Summary: "List the latest changes and refused attempts, the newest last",
			Description: "Each page has its newest item last; next leads to the items before it. A change that ends while a caller pages " +
				"may appear on two pages.",
			Parameters: append([]openapi.Parameter{
				inQuery("action", "Only this action, such as disable.", nil),
				inQuery("who", "Only those of the token with this name or id.", nil),
				inQuery("target", "Only those of this target, such as a plugin.", nil),
				inQuery("result", "Only those with this result; begun has no outcome yet.", oneOfTexts(spec.AuditResults()...)),
				inQuery("since", "Only those from then on.", atTime()),
				inQuery("until", "Only those before then.", atTime()),
			}, pageParameters(MaxAudit)...),
			Answers: answers(http.StatusOK, wire.List[wire.AuditRecord]{})},
		{Method: http.MethodPost, Path: "/api/v1/backup", ID: "makeBackup", Tag: tagHost, Summary: "Make a backup",
			Description: "The answer is a tar archive of the host as it was at one moment after the request: the store, the configuration, the " +
				"tokens' digests, the plugins and the audit log, and a manifest with their digests; no admin token, secrets or keys. " +
				"Only the admin token may ask for it. The archive is made first: the answer begins when it is complete. One is made at a time: " +
				"409 while another one is under way, 507 when the disk has not enough free space for it. An answer shorter than its " +
				"Content-Length is incomplete. A reader that takes nothing for 30 s is disconnected.",
			Answers: []openapi.Answer{{Status: http.StatusOK, Content: []openapi.Content{{Media: BackupType,
				Value: openapi.Schema{"type": "string", "format": "binary"}}}, Headers: []openapi.Parameter{
				{Name: "Content-Disposition", Description: "A name for the file."}}}}},
	}
}
