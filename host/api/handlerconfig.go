package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// showHandlerConfig is GET /api/v1/events/plugins/:name/config.
func (s *Server) showHandlerConfig(r *request) (any, error) {
	name := r.pluginName()
	if r.err != nil {
		return nil, r.err
	}
	c, err := s.cfg.Admin.Reloader.HandlerConfig(name)
	return handlerConfigReply(c), err
}

// setHandlerConfig is PUT /api/v1/events/plugins/:name/config.
func (s *Server) setHandlerConfig(r *request) (any, error) {
	name, wanted, in := r.pluginName(), r.ifMatch(), body[wire.NewHandlerConfig](r)
	if object := bytes.TrimSpace(in.Config); len(object) == 0 || object[0] != '{' {
		r.fail(fault.Field("config", "is required, and must be a JSON object"))
	}
	if r.err != nil {
		return nil, r.err
	}
	c, err := s.cfg.Admin.Reloader.SetHandlerConfig(r.ctx(), name, in.Config, func(now wire.HandlerConfig) error {
		if tag := handlerConfigTag(now); wanted.Given && !wanted.Any && !wanted.Match(tag) {
			return &fault.Error{Code: fault.Precondition, Field: "If-Match",
				Reason: fmt.Sprintf("the config has changed since: its ETag is %q now; read it again, and repeat your change", tag)}
		}
		return nil
	})
	return handlerConfigReply(c), err
}

// handlerConfigReply shows a config with its entity tag.
func handlerConfigReply(c wire.HandlerConfig) reply {
	if c.Schema == nil {
		c.Schema = json.RawMessage("null")
	}
	c.ETag = handlerConfigTag(c)
	return reply{body: c, header: map[string]string{"ETag": `"` + c.ETag + `"`}}
}

// handlerConfigTag is a tag of the config and the schema.
func handlerConfigTag(c wire.HandlerConfig) string {
	if string(c.Schema) == "null" {
		c.Schema = nil
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q", c.Config, c.Schema))
	return hex.EncodeToString(sum[:12])
}

// withoutConfig replaces the config in the recorded body of a change by its keys: it may
// have secrets.
func withoutConfig(asked json.RawMessage) json.RawMessage {
	var in struct {
		Config map[string]any `json:"config"`
	}
	keys := []string{}
	if json.Unmarshal(asked, &in) == nil {
		for key := range in.Config {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return raw(map[string]any{"config_keys": keys})
}
