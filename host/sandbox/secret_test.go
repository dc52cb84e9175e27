package sandbox_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox"
)

// secrets grants every name in it; an empty value is a missing secret.
type secrets map[string]string

func (s secrets) Granted(name string) bool { _, granted := s[name]; return granted }

func (s secrets) Read(name string) (string, error) {
	switch s[name] {
	case "":
		return "", fault.New(fault.NotFound, "there is no secret %s", name)
	case "!":
		return "", fault.New(fault.Unavailable, "the secret %s has mode 0644 in /var/lib/berth", name)
	}
	return s[name], nil
}

func TestSecret(t *testing.T) {
	var logged bytes.Buffer
	_, q := start(t, load(t, guest(t, "any_call")), sandbox.PoolConfig{
		Capabilities: sandbox.Capabilities{Secrets: secrets{"key": "s3cret", "gone": "", "broken": "!"}},
		Logger:       slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	for _, tt := range []struct {
		name string
		want answered
	}{
		{"key", answered{Code: 6, Yielded: "s3cret"}},
		{"gone", answered{Code: abi.NotFound, Error: "there is no secret gone"}},
		{"broken", answered{Code: abi.Unavailable, Error: "reading the secret broken failed; trying again may help"}},
		{"other", answered{Code: abi.Denied, Error: `the secret "other" is not granted to this plugin`}},
		{"", answered{Code: abi.Denied, Error: `the secret "" is not granted to this plugin`}},
		{strings.Repeat("k", 1000), answered{Code: abi.Denied, Error: `the secret "` + strings.Repeat("k", 80) + `"… is not granted to this plugin`}},
	} {
		q.push(call(t, "secret", tt.name, "text", "len", "buf", "cap"))
		got := answerOf(t, q.await(t))
		if got != tt.want {
			t.Errorf("%.20q: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
	if strings.Contains(logged.String(), "s3cret") {
		t.Errorf("the log has the secret: %s", logged.String())
	}
	_, q = start(t, load(t, guest(t, "secret_echo")), sandbox.PoolConfig{Capabilities: sandbox.Capabilities{Secrets: secrets{"key": "s3cret"}}})
	q.push(attempt(t, 1, `{"name":"key"}`))
	if d := q.await(t); d.result != `{"secret":"s3cret"}` {
		t.Errorf("got %s %+v", d.result, d.outcome)
	}
}
