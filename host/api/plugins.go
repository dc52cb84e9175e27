package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/api/describe"
	"github.com/berth-host/berth/host/api/etag"
	"github.com/berth-host/berth/host/api/paging"
	"github.com/berth-host/berth/host/api/problem"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// pluginQuery is the input of listPlugins.
type pluginQuery struct {
	name, state, cursor string
	limit               int // 0: all
}

func (r *request) pluginQuery() pluginQuery {
	q := r.query("name", "state", "limit", "cursor")
	in := pluginQuery{name: q.Get("name"), state: q.Get("state"), cursor: q.Get("cursor")}
	if q.Has("limit") {
		in.limit = r.limit(q, describe.MaxPage)
	}
	if states := wire.PluginStates(); in.state != "" && !slices.Contains(states, in.state) {
		r.fail(fault.Field("state", "%q is not a state; there are %s", problem.Short(in.state), strings.Join(states, ", ")))
	}
	return in
}

// listPlugins is GET /api/v1/events/plugins?name&state&limit&cursor.
func (s *Server) listPlugins(_ context.Context, q pluginQuery) (list wire.List[wire.Plugin], err error) {
	list.Items = []wire.Plugin{}
	for _, p := range s.cfg.Plugins.Registry.List() {
		if strings.Contains(p.Name, q.name) && (q.state == "" || string(p.State) == q.state) {
			list.Items = append(list.Items, whole(p))
		}
	}
	list.Items, list.Next = paging.ByName(list.Items, func(p wire.Plugin) string { return p.Name }, q.cursor, q.limit)
	return list, nil
}

// showPlugin is GET /api/v1/events/plugins/:name.
func (s *Server) showPlugin(_ context.Context, name string) (reply, error) {
	p, err := s.plugin(name)
	return pluginReply(p), err
}

// plugin finds a plugin.
func (s *Server) plugin(name string) (wire.Plugin, error) {
	p, found := s.cfg.Plugins.Registry.Plugin(name)
	if !found {
		return p, fault.New(fault.NotFound, "there is no plugin %q%s", problem.Short(name), s.elsewhere(name))
	}
	return p, nil
}

// elsewhere says which of the hosts that share the database have a plugin that this one lacks; "" for
// none.
func (s *Server) elsewhere(name string) string {
	shown := s.cfg.Membership.Cluster.Show()
	var hosts []string
	for _, m := range shown.Modules {
		for _, one := range m.Modules {
			if m.Plugin == name && one.SHA256 != "" {
				hosts = append(hosts, one.Hosts...)
			}
		}
	}
	if hosts == nil {
		return ""
	}
	slices.Sort(hosts)
	return fmt.Sprintf(" on the host %s, but on %s: ask there, or put its file on this machine too", shown.Host, strings.Join(hosts, ", "))
}

// showReport is GET /api/v1/events/plugins/:name/report: what berth plugin inspect prints
// of the plugin's file.
func (s *Server) showReport(_ context.Context, name string) (json.RawMessage, error) {
	p, err := s.plugin(name)
	if err != nil {
		return nil, err
	}
	report, found := s.cfg.Plugins.Registry.Report(p.SHA256)
	if !found {
		return nil, fault.New(fault.NotFound, "plugin %q was not vetted since the host started: it is %s", problem.Short(name), p.State)
	}
	return report, nil
}

// logQuery is the input of showLogs.
type logQuery struct {
	plugin string
	spec.LogQuery
}

func (r *request) logQuery() logQuery {
	q := r.query("after", "event", "limit")
	in := logQuery{plugin: r.pluginName(), LogQuery: spec.LogQuery{EventID: q.Get("event"), Limit: r.limit(q, describe.MaxLogLines),
		Latest: !q.Has("after")}}
	if in.EventID != "" && !event.IsID(in.EventID) {
		r.fail(fault.Field("event", "%q is not the id of an event", problem.Short(in.EventID)))
	}
	if text := q.Get("after"); text != "" {
		var err error
		if in.After, err = strconv.ParseUint(text, 10, 63); err != nil {
			r.fail(fault.Field("after", "%q is not the Seq of a line", problem.Short(text)))
		}
	}
	return in
}

// showLogs is GET /api/v1/events/plugins/:name/logs?after&event&limit.
func (s *Server) showLogs(_ context.Context, q logQuery) (wire.PluginLog, error) {
	p, err := s.plugin(q.plugin)
	if err != nil {
		return wire.PluginLog{}, err
	}
	log := s.cfg.Plugins.Logs.Log(p.Name, q.LogQuery)
	log.Items = orEmpty(log.Items)
	return log, nil
}

// change makes a handler that enables, disables, pauses or resumes a plugin, if it is still
// what If-Match names. Such requests run one at a time, so that of two callers who have seen
// the same state only the first succeeds.
func (s *Server) change(set func(context.Context, string, bool) (wire.Plugin, error), on bool) echo.HandlerFunc {
	return s.serve(func(r *request) (any, error) {
		name, wanted := r.pluginName(), r.ifMatch()
		if r.err != nil {
			return nil, r.err
		}
		select {
		case s.changes <- struct{}{}:
			defer func() { <-s.changes }()
		case <-r.ctx().Done():
			return nil, fmt.Errorf("wait for another change: %w", r.ctx().Err())
		}
		if err := s.unchanged(name, wanted); err != nil {
			return nil, err
		}
		p, err := set(r.ctx(), name, on)
		return pluginReply(p), err
	})
}

// unchanged returns an error unless the plugin is what If-Match names.
func (s *Server) unchanged(name string, wanted etag.Tags) error {
	if !wanted.Given {
		return nil
	}
	p, err := s.plugin(name)
	if err != nil {
		return err
	}
	return precondition(wanted)(p)
}

// precondition returns a function that refuses a plugin which is not what If-Match names.
func precondition(wanted etag.Tags) func(wire.Plugin) error {
	return func(p wire.Plugin) error {
		if !wanted.Given || wanted.Any || wanted.Match(pluginTag(p)) {
			return nil
		}
		return &fault.Error{Code: fault.Precondition, Field: "If-Match",
			Reason: fmt.Sprintf("the plugin has changed since: it is %s now, and its ETag %q", p.State, pluginTag(p))}
	}
}

// approve is POST /api/v1/events/plugins/:name/approve. Without a body everything that the
// plugin asks for is approved. If-Match or sha256 must name the plugin whose requests the
// caller has seen.
func (s *Server) approve(r *request) (any, error) {
	name, in := r.pluginName(), optionalBody[wire.Approval](r)
	if in.SHA256 != "" && !isSHA256(in.SHA256) {
		r.fail(fault.Field("sha256", "must be 64 hexadecimal digits in lower case"))
	}
	wanted := r.ifMatch()
	if in.SHA256 == "" && !wanted.Named() {
		r.fail(&problem.Refusal{Status: http.StatusPreconditionRequired, Err: &fault.Error{Code: fault.Precondition, Field: "If-Match",
			Reason: "is required, or sha256 in the body: look at what the plugin asks for (GET " + pluginAt(name) +
				"), and send the ETag of that answer as If-Match"}})
	}
	if r.err != nil {
		return nil, r.err
	}
	var check func(wire.Plugin) error
	if wanted.Named() {
		check = precondition(wanted)
	}
	p, err := s.cfg.Plugins.Registry.Approve(r.ctx(), name, in, check)
	return pluginReply(p), err
}

func isSHA256(s string) bool {
	for _, r := range s {
		if (r < '0' || r > '9') && (r < 'a' || r > 'f') {
			return false
		}
	}
	return len(s) == 64
}

// pluginReply shows a plugin with its entity tag.
func pluginReply(p wire.Plugin) reply {
	return reply{body: whole(p), header: map[string]string{"ETag": `"` + pluginTag(p) + `"`}}
}

// pluginTag returns a tag of what a plugin is and of the decisions about it: its module,
// version, subscriptions and grants, those of a version that waits for approval, and whether
// it is to run. It excludes what changes without a decision: counters, and states on the way
// to running or through failures. So it is no tag of the answer, and GET does not take
// If-None-Match.
func pluginTag(p wire.Plugin) string {
	p = whole(p)
	decided := p.State
	switch p.State {
	case wire.Discovered, wire.Vetting, wire.NeedsApproval, wire.Active, wire.BreakerOpen, wire.Stuck, wire.Standby,
		wire.Draining: // the capabilities have the missing grants
		decided = wire.Active
	}
	parts := []any{p.Name, p.SHA256, p.Version, decided, p.Subscribes, p.Capabilities}
	if p.Pending != nil {
		parts = append(parts, *p.Pending)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%#v", parts))
	return hex.EncodeToString(sum[:12])
}

// whole returns a plugin whose lists are not nil.
func whole(p wire.Plugin) wire.Plugin {
	p.Subscribes, p.Capabilities = orEmpty(p.Subscribes), orEmpty(p.Capabilities)
	return p
}

func (r *request) marketplaceQuery() spec.ListingQuery {
	q := r.query("q", "publisher", "limit", "cursor", "refresh")
	return spec.ListingQuery{Text: q.Get("q"), Publisher: q.Get("publisher"), Cursor: q.Get("cursor"),
		Limit: r.limit(q, describe.MaxListings), Refresh: r.flag(q, "refresh")}
}

// listMarketplace is GET /api/v1/plugins/marketplace?q&publisher&limit&cursor&refresh.
func (s *Server) listMarketplace(ctx context.Context, q spec.ListingQuery) (wire.Marketplace, error) {
	page, err := s.cfg.Plugins.Marketplace.Listings(ctx, q)
	page.Items = orEmpty(page.Items)
	return page, err
}
