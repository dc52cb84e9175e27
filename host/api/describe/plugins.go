package describe

import (
	"net/http"

	"github.com/berth-host/berth/host/api/openapi"
	"github.com/berth-host/berth/host/wire"
)

// pluginFigures describes the counters of a plugin.
const pluginFigures = "lag is how many events of the log are not final for the plugin, also while it is disabled; whether it takes an " +
	"event counts only once it has read it. " +
	"delivered, failed and fuel count since the host started."

// pluginOperations are about the plugins that are here.
func pluginOperations() []openapi.Operation {
	list := []openapi.Operation{
		{Method: http.MethodGet, Path: "/api/v1/events/plugins", ID: "listPlugins", Tag: tagPlugins, Summary: "List the plugins",
			Description: pluginFigures + " The list is in the order of the names, and whole without a limit.",
			Parameters: []openapi.Parameter{
				inQuery("name", "Only those whose name contains this text.", nil),
				inQuery("state", "Only those in this state.", oneOfTexts(wire.PluginStates()...)),
				inQuery("limit", "How many at most, and further ones with the name of the last; absent for all.",
					map[string]any{"type": "integer", "minimum": 1, "maximum": MaxPage}),
				inQuery("cursor", "next of the page before; absent for the first page.", nil),
			},
			Answers: answers(http.StatusOK, wire.List[wire.Plugin]{})},
		{Method: http.MethodGet, Path: "/api/v1/events/plugins/{name}", ID: "getPlugin", Tag: tagPlugins, Summary: "Show a plugin",
			Description: pluginFigures,
			Parameters:  []openapi.Parameter{pluginNamePath()},
			Answers:     answers(http.StatusOK, wire.Plugin{}, etagHeader("what was decided about the plugin"))},
		{Method: http.MethodGet, Path: "/api/v1/events/plugins/{name}/report", ID: "getPluginReport", Tag: tagPlugins,
			Summary:    "Show what vetting found of a plugin's module",
			Parameters: []openapi.Parameter{pluginNamePath()},
			Answers: answers(http.StatusOK, openapi.Schema{"type": "object", "required": []string{"sha256", "size", "imports", "exports"},
				"properties": map[string]any{"sha256": map[string]any{"type": "string"}, "size": map[string]any{"type": "integer"}}})},
		{Method: http.MethodGet, Path: "/api/v1/events/plugins/{name}/logs", ID: "getPluginLogs", Tag: tagPlugins,
			Summary: "Show what a plugin has logged",
			Description: "The latest lines, oldest first; with after, the first ones after that Seq. The host keeps up to 256 KiB of lines " +
				"for each plugin in memory: none are from before its start. To follow the log, ask again with next, or with last, as after; " +
				"a Seq that is beyond last is of an earlier run of the host, and stands for 0.",
			Parameters: []openapi.Parameter{pluginNamePath(),
				inQuery("after", "Only lines with a higher Seq.", map[string]any{"type": "integer", "minimum": 0}),
				inQuery("event", "Only lines about the event with this id.", nil),
				inQuery("limit", "How many lines at most.", map[string]any{"type": "integer", "minimum": 1, "maximum": MaxLogLines, "default": PageSize}),
			},
			Answers: answers(http.StatusOK, wire.PluginLog{})},
		{Method: http.MethodPost, Path: "/api/v1/events/plugins/{name}/approve", ID: "approvePlugin", Tag: tagPlugins,
			Summary: "Grant a plugin what it asks for",
			Description: "Without capabilities everything it asks for is granted. If-Match, or sha256 in the body, is required (428); sha256 " +
				"is not enough where a manifest is beside the module (412). The grants are written to the configuration.",
			Parameters: []openapi.Parameter{pluginNamePath(), ifMatchHeader("the plugin")}, Body: body(wire.Approval{}), BodyMayMiss: true,
			Answers: answers(http.StatusOK, wire.Plugin{}, etagHeader("what was decided about the plugin"))},
	}
	list = append(list, configOperations()...)
	for _, verb := range []struct{ path, id, summary string }{
		{"enable", "enablePlugin", "Enable a plugin"},
		{"disable", "disablePlugin", "Disable a plugin"},
		{"pause", "pausePlugin", "Keep a plugin's events waiting"},
		{"resume", "resumePlugin", "Resume a paused plugin"},
	} {
		list = append(list, openapi.Operation{Method: http.MethodPost, Path: "/api/v1/events/plugins/{name}/" + verb.path, ID: verb.id,
			Tag:     tagPlugins,
			Summary: verb.summary, Description: "This is written to the configuration.",
			Parameters: []openapi.Parameter{pluginNamePath(), ifMatchHeader("the plugin")},
			Answers:    answers(http.StatusOK, wire.Plugin{}, etagHeader("what was decided about the plugin"))})
	}
	return list
}

// configOperations are about the config of a handler.
func configOperations() []openapi.Operation {
	const path = "/api/v1/events/plugins/{name}/config"
	tag := etagHeader("the config and its schema")
	return []openapi.Operation{
		{Method: http.MethodGet, Path: path, ID: "getHandlerConfig", Tag: tagPlugins, Summary: "Show a handler's config, and its schema",
			Description: "The object that the plugin reads, and the JSON Schema that its manifest has for it, or null. It is there for a handler " +
				"that is only configured too.",
			Parameters: []openapi.Parameter{pluginNamePath()},
			Answers:    answers(http.StatusOK, wire.HandlerConfig{}, tag)},
		{Method: http.MethodPut, Path: path, ID: "setHandlerConfig", Tag: tagPlugins, Summary: "Replace a handler's config",
			Description: "It is checked against the schema of the plugin's manifest: a config that does not fit is 422, errors lists why, and " +
				"nothing changes. It is written to the configuration file, whose other settings and comments stay, and the plugin runs with it. " +
				"The audit log has its keys only.",
			Parameters: []openapi.Parameter{pluginNamePath(), ifMatchHeader("the config")}, Body: body(wire.NewHandlerConfig{}),
			Answers: answers(http.StatusOK, wire.HandlerConfig{}, tag)},
	}
}

// installOperations put plugins in and take them out.
func installOperations() []openapi.Operation {
	progress := openapi.Content{Media: "text/event-stream", Value: openapi.Stream{"progress": wire.Progress{}, "plugin": wire.Plugin{},
		"problem": wire.Problem{}}}
	const streams = " With Accept: text/event-stream the answer is 200 and a stream of progress, and then the plugin or the problem."
	const plan = " What the plugin asks for is to be agreed to first: 409 with the code approval_required and a plan, whose digest goes " +
		"into approve."
	flag := func(name, description string) openapi.Parameter {
		return inQuery(name, description, map[string]any{"type": "boolean", "default": false})
	}
	return []openapi.Operation{
		{Method: http.MethodGet, Path: "/api/v1/plugins/marketplace", ID: "listMarketplace", Tag: tagInstall,
			Summary:     "List what the marketplace has",
			Description: "404 when the marketplace is disabled, 502 when the list cannot be fetched and there is no older one.",
			Parameters: append([]openapi.Parameter{
				inQuery("q", "Words that name, publisher or description hold.", nil),
				inQuery("publisher", "Only this publisher's.", nil),
				flag("refresh", "Fetch the list first, even if it is recent."),
			}, pageParameters(MaxListings)...),
			Answers: answers(http.StatusOK, wire.Marketplace{})},
		{Method: http.MethodPost, Path: "/api/v1/plugins/install", ID: "installPlugin", Tag: tagInstall, Summary: "Install a plugin",
			Description: "One of: a name, and a version or constraint, of the marketplace; url and sha256; ref into a registry." + plan + streams,
			Body:        body(wire.Install{}),
			Answers: append(answers(http.StatusCreated, wire.Plugin{}, openapi.Parameter{Name: "Location", Description: "Where the plugin is."}),
				openapi.Answer{Status: http.StatusOK, Description: "How far it is.", Content: []openapi.Content{progress}})},
		{Method: http.MethodPost, Path: "/api/v1/events/plugins/{name}/upgrade", ID: "upgradePlugin", Tag: tagInstall,
			Summary:     "Replace an installed plugin by another version",
			Description: "Without a body the marketplace's latest." + plan + streams,
			Parameters:  []openapi.Parameter{pluginNamePath(), ifMatchHeader("the plugin")},
			Body:        body(wire.Upgrade{}), BodyMayMiss: true,
			Answers: []openapi.Answer{{Status: http.StatusOK, Content: append(body(wire.Plugin{}), progress)}}},
		{Method: http.MethodPost, Path: "/api/v1/events/plugins/{name}/rollback", ID: "rollbackPlugin", Tag: tagInstall,
			Summary:     "Go back to a former version of an installed plugin",
			Description: "Without a body the one before." + streams, Parameters: []openapi.Parameter{pluginNamePath(), ifMatchHeader("the plugin")},
			Body: body(wire.Rollback{}), BodyMayMiss: true,
			Answers: []openapi.Answer{{Status: http.StatusOK, Content: append(body(wire.Plugin{}), progress)}}},
		{Method: http.MethodDelete, Path: "/api/v1/plugins/uninstall/{name}", ID: "uninstallPlugin", Tag: tagInstall, Summary: "Remove a plugin",
			Parameters: []openapi.Parameter{pluginNamePath(), ifMatchHeader("the plugin"), flag("force", "Also if a route names it."),
				flag("purge", "Also its stored values.")},
			Description: "200 when other live hosts have the file of the plugin too: then only the one of this host is removed. " +
				"The call to the last of them removes the rest.",
			Answers: append(answers(http.StatusNoContent, nil), openapi.Answer{Status: http.StatusOK, Content: body(wire.Uninstalled{})})},
		{Method: http.MethodGet, Path: "/api/v1/plugins/verify", ID: "verifyPlugins", Tag: tagInstall,
			Summary: "Hash every stored version of every installed plugin",
			Answers: answers(http.StatusOK, wire.List[wire.Stored]{})},
	}
}
