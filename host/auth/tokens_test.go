package auth_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/auth"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

const admin = "an-admin-token-for-tests-of-tokens"

func create(t testing.TB, dir, name string, expires time.Time, scopes ...string) (auth.Token, string) {
	t.Helper()
	token, secret, err := auth.Create(dir, name, scopes, expires)
	if err != nil {
		t.Fatal(err)
	}
	return token, secret
}

func verifier(t testing.TB, dir string) (*auth.Verifier, *bytes.Buffer) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, auth.TokenFile), []byte(admin+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	v, err := auth.Open(dir, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return v, &log
}

func TestCreateVerifyRevoke(t *testing.T) {
	dir := t.TempDir()
	v, log := verifier(t, dir)
	if got, ok := v.Verify(admin); !ok || got.ID != auth.AdminID || !slices.Equal(got.Scopes, append(spec.Scopes(), spec.ScopeAdmin)) || !v.Valid(got) {
		t.Errorf("the admin token: got %v, %v", got, ok)
	}
	if _, _, err := auth.Create(dir, "deploy", []string{spec.ScopeAdmin}, time.Time{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a token with the scope admin: got %v", err)
	}
	token, secret := create(t, dir, "deploy", time.Time{}, "read", "publish", "read")
	other, otherSecret := create(t, dir, "other", time.Now().Add(time.Hour), "install")
	got, ok := v.Verify(secret) // at once, though the verifier is older
	if !ok || got.ID != token.ID || got.Name != "deploy" || strings.Join(got.Scopes, " ") != "publish read" {
		t.Errorf("got %+v, %v", got, ok)
	}
	for name, wrong := range map[string]string{
		"empty": "", "half": secret[:len(secret)-1], "more": secret + "x", "another's id": strings.Replace(secret, token.ID, other.ID, 1),
		"another's secret": strings.Replace(otherSecret, other.ID, token.ID, 1), "id only": "berth_" + token.ID, "path": "berth_../../x_y", "admin's half": admin[1:],
	} {
		if got, ok := v.Verify(wrong); ok {
			t.Errorf("%s: got %v", name, got)
		}
	}
	if list, err := auth.List(dir); err != nil || len(list) != 2 {
		t.Errorf("got %v, %v", list, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, auth.TokenDir, token.ID+".json"))
	if err != nil || strings.Contains(string(text), secret[len(secret)-43:]) {
		t.Errorf("the file holds the secret: %s, %v", text, err)
	}
	if revoked, err := auth.Revoke(dir, token.ID); err != nil || revoked.Name != "deploy" {
		t.Errorf("got %v, %v", revoked, err)
	}
	if _, ok := v.Verify(secret); ok || v.Valid(got) {
		t.Error("a revoked token is valid")
	}
	if _, ok := v.Verify(otherSecret); !ok {
		t.Error("revoking one token revoked another")
	}
	for _, id := range []string{token.ID, "", "../admin", "aaaaaaaaaaaaaaaa"} {
		if _, err := auth.Revoke(dir, id); !fault.Is(err, fault.NotFound) {
			t.Errorf("revoke %q: got %v", id, err)
		}
	}
	if log.Len() > 0 {
		t.Errorf("logged %s", log)
	}
}

// Tokens are created and revoked faster than file times advance.
func TestCreateAndRevokeTakeEffectAtOnce(t *testing.T) {
	dir := t.TempDir()
	v, _ := verifier(t, dir)
	for range 50 {
		token, secret := create(t, dir, "n", time.Time{}, "read")
		if _, ok := v.Verify(secret); !ok {
			t.Fatal("a new token is not valid")
		}
		if _, err := auth.Revoke(dir, token.ID); err != nil {
			t.Fatal(err)
		}
		if _, ok := v.Verify(secret); ok {
			t.Fatal("a revoked token is valid")
		}
	}
}

// Two changes of a directory can have the same time: a directory that has just
// changed is read again although its time is the same.
func TestRecentlyChangedDirectoryIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	v, _ := verifier(t, dir)
	token, secret := create(t, dir, "n", time.Time{}, "read")
	sub := filepath.Join(dir, auth.TokenDir)
	at := time.Now().Add(time.Hour).Truncate(time.Second) // recent for as long as the test may take
	stamp := func() {
		t.Helper()
		if err := os.Chtimes(sub, at, at); err != nil {
			t.Fatal(err)
		}
	}
	stamp()
	if _, ok := v.Verify(secret); !ok || !v.Valid(token.Token) {
		t.Fatal("a new token is not valid")
	}
	if _, err := auth.Revoke(dir, token.ID); err != nil {
		t.Fatal(err)
	}
	stamp()
	if _, ok := v.Verify(secret); ok || v.Valid(token.Token) {
		t.Error("a revoked token is valid")
	}
	_, second := create(t, dir, "m", time.Time{}, "read")
	stamp()
	if _, ok := v.Verify(second); !ok {
		t.Error("a new token is not valid")
	}
}

func TestExpiry(t *testing.T) {
	dir := t.TempDir()
	v, _ := verifier(t, dir)
	token, secret := create(t, dir, "short", time.Now().Add(50*time.Millisecond), "read")
	deadline := time.Now().Add(time.Minute)
	for {
		if _, ok := v.Verify(secret); !ok {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the token does not expire")
		}
	}
	if !token.Expired(time.Now()) || v.Valid(token.Token) {
		t.Error("the token was refused before it expired")
	}
	if list, err := auth.List(dir); err != nil || len(list) != 1 {
		t.Errorf("an expired token is not listed: %v, %v", list, err)
	}
}

func TestCreateRefuses(t *testing.T) {
	for _, tt := range []struct {
		name    string
		token   string
		scopes  []string
		expires time.Time
		field   string
	}{
		{"no name", "", []string{"read"}, time.Time{}, "name"},
		{"long name", strings.Repeat("n", 65), []string{"read"}, time.Time{}, "name"},
		{"control character", "a\nb", []string{"read"}, time.Time{}, "name"},
		{"no scope", "n", nil, time.Time{}, "scope"},
		{"unknown scope", "n", []string{"read", "admin"}, time.Time{}, "scope"},
		{"past", "n", []string{"read"}, time.Now().Add(-time.Second), "expires"},
	} {
		dir := t.TempDir()
		_, secret, err := auth.Create(dir, tt.token, tt.scopes, tt.expires)
		var f *fault.Error
		if !errors.As(err, &f) || f.Code != fault.Invalid || f.Field != tt.field || secret != "" {
			t.Errorf("%s: got %v", tt.name, err)
		}
		if entries, _ := os.ReadDir(dir); len(entries) > 0 {
			t.Errorf("%s: a file was written", tt.name)
		}
	}
}

// A token file that is damaged or writable by others is ignored; other tokens stay valid.
func TestDamagedTokensAreIgnored(t *testing.T) {
	for name, damage := range map[string]func(dir, path string) error{
		"empty":      func(_, p string) error { return os.Truncate(p, 0) },
		"half":       func(_, p string) error { return os.Truncate(p, 60) },
		"writable":   func(_, p string) error { return os.Chmod(p, 0o620) },
		"another id": func(d, p string) error { return os.Rename(p, filepath.Join(d, "aaaaaaaaaaaaaaaa.json")) },
		"no hash": func(_, p string) error {
			return os.WriteFile(p, []byte(`{"id":"`+id(p)+`","name":"n","scopes":["read"]}`), 0o600)
		},
		"an unknown scope": func(_, p string) error { return replace(p, `"read"`, `"root"`) },
		"a link":           func(d, p string) error { return errors.Join(os.Rename(p, d+"/x"), os.Symlink("x", p)) },
		"a directory":      func(_, p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, good := create(t, dir, "good", time.Time{}, "read")
			token, bad := create(t, dir, "bad", time.Time{}, "read")
			sub := filepath.Join(dir, auth.TokenDir)
			if err := damage(sub, filepath.Join(sub, token.ID+".json")); err != nil {
				t.Fatal(err)
			}
			v, log := verifier(t, dir)
			if _, ok := v.Verify(bad); ok {
				t.Error("the damaged token is valid")
			}
			if _, ok := v.Verify(good); !ok {
				t.Error("the good token is not valid")
			}
			if list, err := auth.List(dir); len(list) != 1 || err == nil || log.Len() == 0 {
				t.Errorf("got %v, %v, logged %q", list, err, log)
			}
			if strings.Contains(log.String(), bad) {
				t.Error("the log has the secret")
			}
		})
	}
	dir := t.TempDir()
	_, secret := create(t, dir, "n", time.Time{}, "read")
	if err := os.Chmod(filepath.Join(dir, auth.TokenDir), 0o770); err != nil {
		t.Fatal(err)
	}
	v, _ := verifier(t, dir)
	if _, ok := v.Verify(secret); ok {
		t.Error("a token in a directory writable by others is valid")
	}
}

func id(path string) string { return strings.TrimSuffix(filepath.Base(path), ".json") }

func replace(path, old, new string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(strings.Replace(string(text), old, new, 1)), 0o600)
}

// The last use of a token is recorded to the minute and written when Run ends.
func TestLastUseIsRecorded(t *testing.T) {
	dir := t.TempDir()
	token, secret := create(t, dir, "n", time.Time{}, "read")
	gone, goneSecret := create(t, dir, "gone", time.Time{}, "read")
	v, _ := verifier(t, dir)
	for _, s := range []string{secret, goneSecret} {
		if _, ok := v.Verify(s); !ok {
			t.Fatal("the token is not valid")
		}
	}
	if _, err := auth.Revoke(dir, gone.ID); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v.Run(ctx)
	list, err := auth.List(dir)
	if err != nil || len(list) != 1 || list[0].ID != token.ID || list[0].LastUsed.IsZero() || list[0].LastUsed.Second() != 0 {
		t.Errorf("got %+v, %v", list, err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "tokens.used.json")); err != nil || strings.Contains(string(text), gone.ID) {
		t.Errorf("got %s, %v", text, err)
	}
	// Verification does not depend on the content of that file.
	if err := os.WriteFile(filepath.Join(dir, "tokens.used.json"), []byte("null"), 0o600); err != nil {
		t.Fatal(err)
	}
	v, _ = verifier(t, dir)
	if _, ok := v.Verify(secret); !ok {
		t.Error("the token is not valid")
	}
}

func TestTokensConcurrently(t *testing.T) {
	dir := t.TempDir()
	v, _ := verifier(t, dir)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				token, secret, err := auth.Create(dir, "n", []string{"read"}, time.Time{})
				if err != nil {
					t.Error(err)
					return
				}
				if _, ok := v.Verify(secret); !ok {
					t.Error("a new token is not valid")
				}
				if _, err := auth.Revoke(dir, token.ID); err != nil {
					t.Error(err)
				}
				if _, ok := v.Verify(secret); ok {
					t.Error("a revoked token is valid")
				}
			}
		})
	}
	wg.Wait()
}

// FuzzVerify verifies arbitrary secrets of clients.
func FuzzVerify(f *testing.F) {
	dir := f.TempDir()
	_, secret := create(f, dir, "n", time.Time{}, "read")
	v, _ := verifier(f, dir)
	f.Add(secret[:30])
	f.Add("berth_aaaaaaaaaaaaaaaa_x")
	f.Fuzz(func(t *testing.T, guess string) {
		if _, ok := v.Verify(guess); ok != (guess == secret || guess == admin) {
			t.Errorf("%q: got %v", guess, ok)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	dir := b.TempDir()
	_, secret := create(b, dir, "n", time.Time{}, "read")
	v, _ := verifier(b, dir)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := v.Verify(secret); !ok {
			b.Fatal("the token is not valid")
		}
	}
}

// TestRefusedCreateMakesNoDirectory: a directory of root's in another user's data
// directory would keep that user from making tokens.
func TestRefusedCreateMakesNoDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, _, err := auth.Create(dir, "n", []string{"read"}, time.Time{}); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "has mode 0777") {
		t.Errorf("got %v, want that others can write to the data directory", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, auth.TokenDir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory of tokens: got %v, want that there is none", err)
	}
}

// TestOtherFilesAreNoTokens: files without the name of a token are passed over, whatever
// they have, and are no problem to report.
func TestOtherFilesAreNoTokens(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	token, _, err := auth.Create(dir, "n", []string{"read"}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	sub := filepath.Join(dir, auth.TokenDir)
	text, err := os.ReadFile(filepath.Join(sub, token.ID+".json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"notes.json", "notes", strings.Repeat("a", 16), strings.Repeat("a", 16) + ".txt", strings.Repeat("A", 16) + ".json",
		"." + token.ID + ".json-123"} {
		if err := os.WriteFile(filepath.Join(sub, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list, err := auth.List(dir)
	if err != nil || len(list) != 1 || list[0].ID != token.ID {
		t.Errorf("got %+v, %v, want only %s", list, err, token.ID)
	}
}
