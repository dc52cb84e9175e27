package api

import (
	"context"
	"net/url"
	"time"

	"github.com/berth-host/berth/host/api/etag"
	"github.com/berth-host/berth/host/api/resource"
	"github.com/berth-host/berth/host/spec"
)

// more returns endpoints of packages below this one.
func (s *Server) more(list []resource.Endpoint) (all []endpoint) {
	for _, e := range list {
		all = append(all, endpoint{method: e.Method, path: e.Path, scope: e.Scope, handler: s.serve(func(r *request) (any, error) {
			answer, err := e.Handle(input{r})
			out := reply{status: answer.Status, body: answer.Body}
			if answer.ETag != "" {
				out.header = map[string]string{"ETag": `"` + answer.ETag + `"`}
			}
			if r.audit == nil || answer.Noted == nil || err != nil {
				return out, err
			}
			if r.audit.Target == "" {
				r.audit.Target = answer.Target
			}
			r.audit.After = raw(answer.Noted)
			out.secret = true
			return out, nil
		})})
	}
	return all
}

// input is a request for packages below this one.
type input struct{ *request }

var _ resource.Request = input{}

func (i input) Ctx() context.Context                { return i.ctx() }
func (i input) Param(name string) string            { return i.param(name) }
func (i input) Query(known ...string) url.Values    { return i.query(known...) }
func (i input) Limit(q url.Values, maximum int) int { return i.limit(q, maximum) }
func (i input) Fail(err error)                      { i.fail(err) }
func (i input) Err() error                          { return i.err }
func (i input) Caller() string                      { return i.caller.Token.Name }
func (i input) Publisher() spec.Publisher           { return publisherOf(i.caller.Token) }
func (i input) Body(v any)                          { i.decode(v) }
func (i input) ReserveAnswer(size int64)            { i.reserveAnswer(size) }

// Conditions implements resource.Request.
func (i input) Conditions() (match, noneMatch etag.Tags) {
	match = i.ifMatch()
	noneMatch, err := etag.IfNoneMatch(i.request.Request())
	i.fail(err)
	return match, noneMatch
}

// Time implements resource.Request.
func (i input) Time(field, text string) time.Time { return i.time(field, text) }

// OptionalBody implements resource.Request.
func (i input) OptionalBody(v any) {
	if i.request.Request().ContentLength != 0 {
		i.decode(v)
	}
}
