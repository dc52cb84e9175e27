package describe

import (
	"net/http"
	"strconv"

	"github.com/berth-host/berth/host/api/openapi"
	"github.com/berth-host/berth/host/api/search"
	"github.com/berth-host/berth/host/wire"
)

// EventFilters returns the parameters of a list of events.
func EventFilters() []string {
	var names []string
	for _, p := range listEvents().Parameters {
		names = append(names, p.Name)
	}
	return names
}

// listEvents describes the list of events.
func listEvents() openapi.Operation {
	since := "A time (RFC 3339), or a duration back from now (1h, 7d)."
	return openapi.Operation{Method: http.MethodGet, Path: "/api/v1/events", ID: "listEvents", Tag: tagEvents,
		Summary: "List events, newest first",
		Description: "Events to which every parameter applies. handler, status and class are about one delivery of the event. The log has no " +
			"index of contents: a request examines at most " + strconv.Itoa(search.MaxExamined) + " events, " +
			strconv.Itoa(search.MaxExamined/search.LookCost) + " where deliveries matter, for at most " +
			search.MaxTime.String() + ". A page can then have fewer items than limit, or none, although there is more: next says so. " +
			"By type, subject, key, since, until, and by the status dead or retrying, the host finds events without examining the others. " +
			"Dead letters that were purged are not found by their status.",
		Parameters: append([]openapi.Parameter{
			inQuery("type", "Only events of this type, or of types that match this glob, such as order_*.",
				map[string]any{"type": "string", "pattern": `^[a-z0-9_.*-]{1,128}$`}),
			inQuery("subject", "Only events of this subject.", nil),
			inQuery("key", "Only the event with this idempotency key. This finds every key, also one that the path of getEvent cannot have: "+
				"log, stream and the other words of this API, dots, or a slash.", nil),
			inQuery("handler", "Only events that this plugin has been given, or will be.", nil),
			inQuery("status", "Only events with a delivery of this status; with handler, to that plugin.", oneOfTexts(search.Statuses()...)),
			inQuery("class", "Only events with a delivery whose last attempt failed like this; with handler, to that plugin.",
				oneOfTexts(search.Classes()...)),
			inQuery("since", "Only events published from then on. "+since, nil),
			inQuery("until", "Only events published before then. "+since, nil),
			inQuery("when", "Only events for which this condition holds: CEL, as in routes, such as data.total_cents > 5000. An event that lacks "+
				"a field of it is not listed.", nil),
			inQuery("correlation_id", "Only events of this chain.", nil),
			inQuery("caused_by", "Only events that this one has caused directly: its id, or its idempotency key.", nil),
			inQuery("source", "Only events with this source in their metadata.", nil),
			inQuery("published_by", "Only events that a token of this id or name has published, or this source within the host: a plugin's name, "+
				"or orders.", nil),
			inQuery("counts", "true adds delivery_counts to every event, at the cost of a look at each event's deliveries.",
				map[string]any{"type": "boolean"}),
		}, pageParameters(MaxPage)...),
		Answers: answers(http.StatusOK, wire.List[wire.Event]{})}
}

// eventActions are about one event.
func eventActions() []openapi.Operation {
	const path = "/api/v1/events/{event_id}"
	parameters := []openapi.Parameter{{In: "path", Name: "event_id", Description: "The event's id; not its key, which could be a word of this API.",
		Schema: map[string]any{"type": "string", "format": "uuid"}}}
	return []openapi.Operation{
		{Method: http.MethodGet, Path: path + "/tree", ID: "getEventTree", Tag: tagEvents, Summary: "Show the chain that an event belongs to",
			Description: "The event that began it, and what that has caused, directly and indirectly: by causation_id, or as an edited copy. Events " +
				"that are not due yet have due_at and the Seq 0. The " +
				"bounds are those of listEvents, and " + strconv.Itoa(search.MaxNodes) + " events; truncated says that there may be more. The events " +
				"between the beginning and this one are always there.",
			Parameters: parameters, Answers: answers(http.StatusOK, wire.EventTree{})},
		{Method: http.MethodPost, Path: path + "/retry", ID: "retryEvent", Tag: tagEvents, Summary: "Attempt an event's deliveries again now",
			Description: "Of one plugin, or of all that have not handled the event: a delivery that waits for its retry is due now, a dead letter " +
				"is delivered again, an open breaker lets a probe through. 409 when there is none.",
			Parameters: parameters, Body: body(wire.EventRetry{}), BodyMayMiss: true, Answers: answers(http.StatusOK, wire.EventChange{})},
		{Method: http.MethodPost, Path: path + "/skip", ID: "skipEvent", Tag: tagEvents, Summary: "Do not deliver an event to a plugin",
			Description: "It becomes a dead letter of the class skipped, and later events of its order key go on. 409 while an attempt is under " +
				"way, and when the delivery is final.",
			Parameters: parameters, Body: body(wire.EventSkip{}), Answers: answers(http.StatusOK, wire.EventChange{})},
		{Method: http.MethodPost, Path: path + "/copy", ID: "copyEvent", Tag: tagEvents, Summary: "Publish an edited copy of an event",
			Description: "A new event with what the body has, and otherwise what the event has: type, data, subject, source and correlation_id. " +
				"It goes to every plugin that takes it, or to the one that plugin names. It also needs the scope publish.",
			Parameters: parameters, Body: body(wire.EventCopy{}), BodyMayMiss: true, Answers: []openapi.Answer{{Status: http.StatusAccepted,
				Description: "It is stored.", Content: body(wire.Receipt{})}}},
	}
}
