package command

import (
	"context"
	"net/url"
	"strconv"

	"github.com/berth-host/berth/cmd/berth/internal/client"
)

// Fetch calls the API and shows its answer, which must pass the checks: as JSON with --json,
// by show otherwise.
func Fetch[T any](ctx context.Context, e *Env, method, path string, body any, show func(T) error, checks ...func(T) error) error {
	c, err := e.Connect()
	if err != nil {
		return err
	}
	return FetchBy(ctx, e, c, method, path, body, show, checks...)
}

// FetchBy is Fetch with a client.
func FetchBy[T any](ctx context.Context, e *Env, c *client.Client, method, path string, body any, show func(T) error,
	checks ...func(T) error) error {
	var answer T
	raw, err := c.Call(ctx, method, path, body, &answer)
	if err != nil {
		return err
	}
	for _, check := range checks {
		if err := check(answer); err != nil {
			return err
		}
	}
	if e.JSON {
		return e.PrintJSON(raw)
	}
	return show(answer)
}

// Show shows a value: as JSON with --json, by show otherwise.
func Show[T any](e *Env, v T, show func(T) error) error {
	if e.JSON {
		return e.EncodeJSON(v, false)
	}
	return show(v)
}

// Path adds parameters to a path: names and values in turn. Empty values are left out.
func Path(path string, parameters ...string) string {
	query := url.Values{}
	for i := 0; i < len(parameters); i += 2 {
		if parameters[i+1] != "" {
			query.Set(parameters[i], parameters[i+1])
		}
	}
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}

// Path adds the parameters of the page, and others, to a path.
func (p Paging) Path(path string, parameters ...string) string {
	return Path(path, append(parameters, "limit", strconv.Itoa(p.limit), "cursor", p.cursor)...)
}
