package describe

import (
	"net/http"
	"slices"

	"github.com/berth-host/berth/host/api/openapi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

const (
	tagIssues     = "issues"
	tagOperations = "operations"
)

// IssueStates returns the states of issues.
func IssueStates() []string {
	return []string{string(wire.IssueOpen), string(wire.IssueAcknowledged), string(wire.IssueResolved), string(wire.IssueIgnored)}
}

// IssueClasses returns the classes of issues: those of failed attempts, and other.
func IssueClasses() []string {
	failed := slices.DeleteFunc(event.FailureClasses(), func(class string) bool { return class == string(event.ClassSkipped) })
	return append(failed, "other")
}

// OperationKinds returns the kinds of operations.
func OperationKinds() []string { return []string{"replay", "redrive", "retry"} }

// OperationStates returns the states of operations.
func OperationStates() []string {
	return []string{string(wire.OperationRunning), string(wire.OperationDone), string(wire.OperationCancelled), string(wire.OperationFailed)}
}

// issueOperations are about issues.
func issueOperations() []openapi.Operation {
	id := openapi.Parameter{In: "path", Name: "id", Description: "The issue's id.", Schema: map[string]any{"type": "string", "pattern": "^[0-9]+$"}}
	list := []openapi.Operation{
		{Method: http.MethodGet, Path: "/api/v1/issues", ID: "listIssues", Tag: tagIssues,
			Summary: "List issues, the one that failed last first",
			Description: "An issue groups the failed attempts of one plugin with the same class, message and innermost frame of its own code; " +
				"numbers, ids and quoted texts in the message do not count. At most 1,000 are open or acknowledged: beyond that the failures " +
				"of the plugin with most of them are counted together, in its issue of the class other. Items have neither minutes nor latest.",
			Parameters: append([]openapi.Parameter{
				inQuery("handler", "Only this plugin's.", pluginNamePath().Schema),
				inQuery("class", "Only of this class of error.", oneOfTexts(IssueClasses()...)),
				inQuery("state", "Only in this state; absent for open and acknowledged ones.", oneOfTexts(append(IssueStates(), "all")...)),
				inQuery("version", "Only those that occurred in this version of the plugin.", nil),
			}, pageParameters(MaxPage)...),
			Answers: answers(http.StatusOK, wire.List[wire.Issue]{})},
		{Method: http.MethodGet, Path: "/api/v1/issues/{id}", ID: "getIssue", Tag: tagIssues, Summary: "Show an issue",
			Description: "With its failures in each of the last 60 minutes, and the latest 20 of them.",
			Parameters:  []openapi.Parameter{id},
			Answers:     answers(http.StatusOK, wire.Issue{})},
	}
	for _, verb := range []struct{ path, id, summary, description string }{
		{"acknowledge", "acknowledgeIssue", "Acknowledge an issue", "It is being looked after. 409 for one that is resolved or ignored."},
		{"resolve", "resolveIssue", "Resolve an issue", "The next failure opens it again."},
		{"ignore", "ignoreIssue", "Ignore an issue", "Failures are counted, and do not open it again."},
		{"reopen", "reopenIssue", "Open an issue again", "Whatever its state."},
	} {
		list = append(list, openapi.Operation{Method: http.MethodPost, Path: "/api/v1/issues/{id}/" + verb.path, ID: verb.id, Tag: tagIssues,
			Summary: verb.summary, Description: verb.description, Parameters: []openapi.Parameter{id}, Body: body(wire.IssueChange{}),
			BodyMayMiss: true, Answers: answers(http.StatusOK, wire.Issue{})})
	}
	return list
}

// operationOperations are about operations on many events.
func operationOperations() []openapi.Operation {
	id := openapi.Parameter{In: "path", Name: "id", Description: "The operation's id.",
		Schema: map[string]any{"type": "string", "pattern": "^[0-9]+$"}}
	return []openapi.Operation{
		{Method: http.MethodPost, Path: "/api/v1/operations", ID: "startOperation", Tag: tagOperations,
			Summary: "Start a replay, redrive or retry of many events",
			Description: "It runs in the background, at most 16 at once (409), and continues after a restart; events of the second before a " +
				"crash can be given twice. With preview nothing is started: the answer is 200 and what would be given, counted up to " +
				"1,000,000 events or for 5 s. A replay without a filter other than from and to, and without a rate, is the plugin's own " +
				"replay (replayEvents): done counts the positions of the log that the plugin has passed then.",
			Body: body(wire.NewOperation{}),
			Answers: append(answers(http.StatusAccepted, wire.Operation{}),
				openapi.Answer{Status: http.StatusOK, Description: "The preview.", Content: body(wire.OperationPreview{})})},
		{Method: http.MethodGet, Path: "/api/v1/operations", ID: "listOperations", Tag: tagOperations,
			Summary: "List operations, the latest first", Description: "The latest 1,000 are kept.",
			Parameters: append([]openapi.Parameter{
				inQuery("kind", "Only of this kind.", oneOfTexts(OperationKinds()...)),
				inQuery("plugin", "Only this plugin's.", pluginNamePath().Schema),
				inQuery("state", "Only in this state.", oneOfTexts(OperationStates()...)),
			}, pageParameters(MaxPage)...),
			Answers: answers(http.StatusOK, wire.List[wire.Operation]{})},
		{Method: http.MethodGet, Path: "/api/v1/operations/{id}", ID: "getOperation", Tag: tagOperations, Summary: "Show an operation",
			Parameters: []openapi.Parameter{id}, Answers: answers(http.StatusOK, wire.Operation{})},
		{Method: http.MethodPost, Path: "/api/v1/operations/{id}/cancel", ID: "cancelOperation", Tag: tagOperations,
			Summary: "Cancel an operation",
			Description: "The answer comes when it has stopped. Events that were given to the plugin stay given. Cancelling the plugin's own " +
				"replay gives it one event more.",
			Parameters: []openapi.Parameter{id}, Answers: answers(http.StatusOK, wire.Operation{})},
	}
}
