package describe

import (
	"net/http"

	"github.com/berth-host/berth/host/api/openapi"
	"github.com/berth-host/berth/host/wire"
)

// stateOperations are about the key-value state of a plugin.
func stateOperations() []openapi.Operation {
	const (
		listPath  = "/api/v1/events/plugins/{name}/kv"
		entryPath = listPath + "/{key}"
		encodings = " The key in the path is percent-encoded, its bytes with %XX; . and .. and keys that are not UTF-8 are easier with " +
			"key_encoding=base64: the key is base64url without padding then."
	)
	entry := []openapi.Parameter{pluginNamePath(),
		{In: "path", Name: "key", Description: "The key, 1 to 256 bytes.", Schema: map[string]any{"type": "string", "minLength": 1}},
		inQuery("key_encoding", "base64: the key in the path is base64url.", oneOfTexts("base64"))}
	tag := etagHeader("the value")
	return []openapi.Operation{
		{Method: http.MethodGet, Path: listPath, ID: "listState", Tag: tagPlugins, Summary: "List the keys of a plugin's state",
			Description: "In the order of their bytes, without the values; one that expires or is written meanwhile may or may not appear. " +
				"Items have key, or key_base64 if the key is not UTF-8. 404 for a plugin that is neither here nor has any state; the state of " +
				"an uninstalled plugin is listed.",
			Parameters: append([]openapi.Parameter{pluginNamePath(),
				inQuery("prefix", "Only keys that begin with this; bytes as %XX.", nil)}, pageParameters(MaxPage)...),
			Answers: answers(http.StatusOK, wire.KVList{})},
		{Method: http.MethodGet, Path: entryPath, ID: "getStateValue", Tag: tagPlugins, Summary: "Show a value of a plugin's state",
			Description: "value_text is the exact value; value_base64 if it is not UTF-8." + encodings,
			Parameters:  entry,
			Answers:     answers(http.StatusOK, wire.KVValue{}, tag)},
		{Method: http.MethodPut, Path: entryPath, ID: "setStateValue", Tag: tagPlugins, Summary: "Write a value of a plugin's state",
			Description: "Exactly one of value (any JSON, stored as it is written), value_text and value_base64. It is durable when the answer " +
				"comes. With If-Match the value is replaced only if it has this ETag, and keeps its limit; If-None-Match: * writes only a key " +
				"that is absent; 412 otherwise. Without either the former limit is removed. expires_in sets a new one, in the same write. " +
				"413 beyond the plugin's quota. A delivery of an atomic handler that has read the key runs again. " +
				"The audit log has the key and the size, not the value." + encodings,
			Parameters: append(entry[:len(entry):len(entry)], ifMatchHeader("the value"),
				openapi.Parameter{In: "header", Name: "If-None-Match", Description: "*: write only if the key is absent; 412 otherwise."}),
			Body:    body(wire.NewKVValue{}),
			Answers: answers(http.StatusOK, wire.KVStored{}, tag)},
		{Method: http.MethodDelete, Path: entryPath, ID: "deleteStateValue", Tag: tagPlugins, Summary: "Delete a value of a plugin's state",
			Description: "Also of a plugin that is not here any more. 404 when there is no such key. With If-Match only if it has this ETag; 412 " +
				"otherwise. The audit log has the key and the size." + encodings,
			Parameters: append(entry[:len(entry):len(entry)], ifMatchHeader("the value")),
			Answers:    answers(http.StatusNoContent, nil)},
	}
}
