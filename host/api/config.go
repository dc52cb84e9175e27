package api

import (
	"crypto/tls"
	"log/slog"
	"reflect"
	"time"

	"github.com/berth-host/berth/host/api/catalog"
	"github.com/berth-host/berth/host/api/guard"
	"github.com/berth-host/berth/host/api/incident"
	"github.com/berth-host/berth/host/api/membership"
	"github.com/berth-host/berth/host/api/ports"
	"github.com/berth-host/berth/host/api/traffic"
	"github.com/berth-host/berth/host/fault"
)

// Config holds what a Server needs. Every part of Events, Orders, Plugins and Admin is
// required, and so is Guard.Tokens.
type Config struct {
	Events  Events
	Orders  Orders
	Plugins Plugins
	Admin   Admin
	Figures Figures
	// Incidents are the issues and the operations.
	Incidents  incident.Parts
	Catalog    catalog.Parts    // the schedules and the event types
	Membership membership.Parts // the hosts that share the database
	Guard      guard.Config
	Limits

	Actions Actions // on single events; required
	Console Console // nil: there is nothing outside of the endpoints

	// TLS, with its certificate, makes Serve speak HTTPS. Nil: plain HTTP.
	TLS *tls.Config
	// Version is the program's, for the header wire.VersionHeader and /openapi.json; "" is "dev".
	Version string
	Logger  *slog.Logger      // nil discards
	Tracer  Tracer            // nil: none
	Traffic *traffic.Recorder // counts the requests; nil is a new one
}

// The parts that a Server needs, see package ports.
type (
	Events  = ports.Events
	Orders  = ports.Orders
	Plugins = ports.Plugins
	Admin   = ports.Admin
	Figures = ports.Figures
	Actions = ports.Actions
	Tracer  = ports.Tracer
)

// Limits are the bounds of requests and streams. Zero fields have defaults.
type Limits struct {
	// MaxInflight bounds the bodies of requests under way, and the answers with events, in
	// bytes; less than inflight.MinBytes is inflight.MinBytes.
	MaxInflight int64

	Heartbeat  time.Duration // between comments on an idle event stream; 0 is 15 s
	MaxStreams int           // event streams at once; 0 is 64

	HeaderTimeout time.Duration // for a request's header; 0 is 10 s
	ReadTimeout   time.Duration // for a whole request; 0 is 1 minute
	BodyStall     time.Duration // for each 64 KiB of a body; 0 is 10 s
	QuotaWait     time.Duration // that a request waits for its part of MaxInflight; 0 is 2 s
	WriteTimeout  time.Duration // for a whole request and its answer; 0 is 2 minutes
	BackupStall   time.Duration // for each part of a backup to be taken; 0 is 30 s
}

// withDefaults fills in the defaults.
func (c Config) withDefaults() Config {
	if c.Version == "" {
		c.Version = "dev"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Traffic == nil {
		c.Traffic = traffic.New()
	}
	if c.MaxStreams <= 0 {
		c.MaxStreams = 64
	}
	for field, standard := range map[*time.Duration]time.Duration{
		&c.Heartbeat: 15 * time.Second, &c.HeaderTimeout: 10 * time.Second, &c.ReadTimeout: time.Minute, &c.BodyStall: 10 * time.Second,
		&c.QuotaWait: 2 * time.Second, &c.WriteTimeout: 2 * time.Minute, &c.BackupStall: 30 * time.Second, &c.Guard.TokenCheck: 2 * time.Second,
	} {
		if *field <= 0 {
			*field = standard
		}
	}
	return c
}

// check returns an error that names the first part that is missing.
func (c Config) check() error {
	for _, group := range []struct {
		prefix string
		parts  any
	}{
		{"Events.", c.Events}, {"", struct {
			Orders  Orders
			Actions Actions
		}{c.Orders, c.Actions}}, {"Plugins.", c.Plugins}, {"Admin.", c.Admin}, {"Figures.", c.Figures},
		{"Incidents.", c.Incidents}, {"Catalog.", c.Catalog}, {"Membership.", c.Membership},
		{"Guard.", struct{ Tokens guard.Verifier }{c.Guard.Tokens}},
	} {
		v := reflect.ValueOf(group.parts)
		for i := range v.NumField() {
			if v.Field(i).IsNil() {
				return fault.New(fault.Internal, "api: Config.%s%s is not set", group.prefix, v.Type().Field(i).Name)
			}
		}
	}
	return nil
}
