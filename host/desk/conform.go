package desk

import (
	"context"
	"encoding/json"
	"time"

	"github.com/berth-host/berth/abi/conformance"
	"github.com/berth-host/berth/host/event"
)

// ConformanceHost returns the desk as a host of the conformance kit, which runs a loaded
// conformance handler.
func ConformanceHost(p *Plugin) conformance.Host { return conformanceHost{p} }

type conformanceHost struct{ plugin *Plugin }

// Start implements conformance.Host.
func (h conformanceHost) Start(ctx context.Context, setup conformance.Setup) (conformance.Plugin, error) {
	plugin := *h.plugin
	setup.Apply(&plugin.manifest)
	session, err := plugin.Start(ctx, Setup{Config: setup.Config, Deny: setup.Deny, Secrets: setup.Secrets, HTTP: exchanges(setup.HTTP),
		Start: FirstTime()})
	if err != nil {
		return nil, err
	}
	return &conformancePlugin{name: h.plugin.Name(), session: session, attempts: setup.MaxAttempts()}, nil
}

func exchanges(list []conformance.Exchange) []Exchange {
	out := make([]Exchange, len(list))
	for i, x := range list {
		out[i] = Exchange{Request: Request{Method: x.Request.Method, URL: x.Request.URL}, Error: x.Error}
		if x.Request.Header != "" {
			out[i].Request.Headers = map[string]string{"x-conform": x.Request.Header}
		}
		if x.Request.Body != "" {
			out[i].Request.Body = &x.Request.Body
		}
		if r := x.Response; r != nil {
			out[i].Response = &Response{Status: r.Status, Headers: r.Headers, Body: r.Body}
		}
	}
	return out
}

// conformancePlugin is a session as a plugin of the conformance kit.
type conformancePlugin struct {
	name     string
	session  *Session
	attempts int // at maximum
}

// Name implements conformance.Plugin.
func (p *conformancePlugin) Name() string { return p.name }

// Deliver implements conformance.Plugin.
func (p *conformancePlugin) Deliver(ctx context.Context, drafts []json.RawMessage) ([]conformance.Outcome, error) {
	events := make([]*event.Event, len(drafts))
	for i, text := range drafts {
		draft, err := event.ParseDraft(text)
		if err != nil {
			return nil, err
		}
		if events[i], err = event.New(draft); err != nil {
			return nil, err
		}
	}
	deliveries, err := p.session.DeliverEach(ctx, events, p.attempts)
	if err != nil {
		return nil, err
	}
	outcomes := make([]conformance.Outcome, len(events))
	for i, ev := range events {
		outcomes[i] = outcome(ev, deliveries[i])
	}
	return outcomes, nil
}

// Stop implements conformance.Plugin.
func (p *conformancePlugin) Stop(ctx context.Context) error { return p.session.Stop(ctx) }

func outcome(ev *event.Event, d Delivery) conformance.Outcome {
	last := d.Last()
	o := conformance.Outcome{
		Envelope: ev.Envelope(),
		Status:   last.Status,
		Attempts: len(d.Attempts),
		Result:   string(last.Result),
		Message:  last.Message,
		Class:    string(last.Class),
		Memory:   last.Memory,
	}
	for _, c := range last.Children {
		o.Children = append(o.Children, conformance.Child{Type: string(c.Type), Data: c.Data, Subject: c.Subject, Key: c.IdempotencyKey, After: after(c)})
	}
	for _, a := range d.Attempts {
		for _, line := range a.Logs {
			o.Logs = append(o.Logs, conformance.Log(line))
		}
	}
	return o
}

// after returns when a child is due, in seconds from now; 0: at once.
func after(c Child) int {
	wait, _ := time.ParseDuration(c.DeliverAfter) // of report; none is 0
	if at, err := time.Parse(time.RFC3339Nano, c.DeliverAt); err == nil {
		wait = max(0, time.Until(at))
	}
	return int(wait.Round(time.Second) / time.Second)
}
