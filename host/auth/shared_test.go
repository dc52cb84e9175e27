package auth_test

import (
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/auth"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/spec/sharedtest"
)

// joined returns the verifier of a host of a cluster.
func joined(t *testing.T, store *sharedtest.Store) (*auth.Verifier, auth.Tokens) {
	t.Helper()
	dir := t.TempDir()
	v, _ := verifier(t, dir)
	if err := v.Join(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	return v, auth.Shared{Documents: store, Dir: dir}
}

func TestSharedTokenIsValidOnEveryHost(t *testing.T) {
	store := sharedtest.New()
	a, tokens := joined(t, store)
	b, others := joined(t, store)
	token, secret, err := tokens.Create(t.Context(), "deploy", []string{"read", "publish"}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]*auth.Verifier{"a": a, "b": b} {
		if _, ok := v.Verify(secret); ok {
			t.Errorf("%s knows the token before it has followed", name)
		}
		if err := v.Follow(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, ok := v.Verify(secret); !ok || got.ID != token.ID || !v.Valid(got) {
			t.Errorf("%s: got %+v, %v", name, got, ok)
		}
		if _, ok := v.Verify(secret + "x"); ok {
			t.Errorf("%s takes another secret", name)
		}
		if _, ok := v.Verify(admin); !ok {
			t.Errorf("%s refuses its admin token", name)
		}
	}
	if list, err := others.List(t.Context()); err != nil || len(list) != 1 || list[0].Name != "deploy" {
		t.Errorf("got %+v, %v", list, err)
	}
	docs, err := store.Shared(t.Context(), auth.SharedKind)
	if err != nil || len(docs) != 1 || strings.Contains(string(docs[0].Body), secret[len(secret)-43:]) {
		t.Errorf("the database has %v, %v", docs, err)
	}
	if revoked, err := others.Revoke(t.Context(), token.ID); err != nil || revoked.Name != "deploy" {
		t.Errorf("got %+v, %v", revoked, err)
	}
	if _, err := tokens.Revoke(t.Context(), token.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("revoked twice: got %v", err)
	}
	if err := a.Follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, ok := a.Verify(secret); ok || a.Valid(token.Token) {
		t.Errorf("a revoked token is valid: %+v", got)
	}
}

func TestTokensRemainValidWithoutDatabase(t *testing.T) {
	store := sharedtest.New()
	v, tokens := joined(t, store)
	_, secret, err := tokens.Create(t.Context(), "n", []string{"read"}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	store.Fail(fault.New(fault.Unavailable, "away"))
	if err := v.Follow(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	if _, ok := v.Verify(secret); !ok {
		t.Error("the token is not valid any more")
	}
	for name, call := range map[string]func() error{
		"create": func() error {
			_, _, err := tokens.Create(t.Context(), "n", []string{"read"}, time.Time{})
			return err
		},
		"list":   func() error { _, err := tokens.List(t.Context()); return err },
		"revoke": func() error { _, err := tokens.Revoke(t.Context(), "aaaaaaaaaaaaaaaa"); return err },
	} {
		if err := call(); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestTokensOfTheDirectoryDoNotCountInCluster(t *testing.T) {
	dir := t.TempDir()
	v, log := verifier(t, dir)
	_, secret := create(t, dir, "old", time.Time{}, "read")
	if err := v.Join(t.Context(), sharedtest.New()); err != nil {
		t.Fatal(err)
	}
	if _, ok := v.Verify(secret); ok || !strings.Contains(log.String(), "berth token create") {
		t.Errorf("valid %v, logged %s", ok, log)
	}
}

func TestDamagedSharedTokenIsIgnored(t *testing.T) {
	store := sharedtest.New()
	v, tokens := joined(t, store)
	token, secret, err := tokens.Create(t.Context(), "good", []string{"read"}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	docs, err := store.Shared(t.Context(), auth.SharedKind)
	if err != nil {
		t.Fatal(err)
	}
	for id, body := range map[string]string{"aaaaaaaaaaaaaaaa": "{", "bbbbbbbbbbbbbbbb": string(docs[0].Body), "../../admin": string(docs[0].Body)} {
		if _, err := store.Share(t.Context(), spec.SharedDocument{Kind: auth.SharedKind, ID: id, Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Follow(t.Context()); !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v", err)
	}
	if got, ok := v.Verify(secret); !ok || got.ID != token.ID {
		t.Errorf("got %+v, %v", got, ok)
	}
	for _, id := range []string{"aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"} {
		if _, err := tokens.Revoke(t.Context(), id); err != nil {
			t.Errorf("revoke %s: %v", id, err)
		}
	}
}
