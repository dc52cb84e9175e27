package session_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/api/session"
	"github.com/berth-host/berth/host/spec"
)

// tokens knows every token that is not revoked.
type tokens struct {
	mu      sync.Mutex
	revoked map[string]bool
}

func (v *tokens) Verify(secret string) (spec.Token, bool) {
	return spec.Token{ID: secret}, secret != ""
}

func (v *tokens) Valid(t spec.Token) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return !v.revoked[t.ID]
}

func (v *tokens) revoke(id string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.revoked[id] = true
}

// bundle is a Sessions with a clock that the test sets.
type bundle struct {
	*session.Sessions
	tokens *tokens
	now    time.Time
}

func setup() *bundle {
	b := &bundle{tokens: &tokens{revoked: map[string]bool{}}, now: time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)}
	b.Sessions = session.New(b.tokens, func() time.Time { return b.now })
	return b
}

func (b *bundle) wait(d time.Duration) { b.now = b.now.Add(d) }

func TestSessionEndsWithoutUse(t *testing.T) {
	b := setup()
	id, begun := b.Begin(spec.Token{ID: "t"})
	if want := b.now.Add(session.Idle); !begun.Expires.Equal(want) {
		t.Errorf("expires %s, want %s", begun.Expires, want)
	}
	for range 3 {
		b.wait(session.Idle - time.Second)
		if found, ok := b.Find(id); !ok || found.Token.ID != "t" {
			t.Fatal("a session that is used has ended")
		}
	}
	b.wait(session.Idle - time.Second)
	if !b.Lasts(id) {
		t.Error("a session has ended early")
	}
	b.wait(time.Second) // Lasts is no use
	if b.Lasts(id) {
		t.Error("an idle session lasts")
	}
	if _, ok := b.Find(id); ok {
		t.Error("an idle session was found")
	}
}

func TestSessionEndsAfterItsLife(t *testing.T) {
	b := setup()
	id, _ := b.Begin(spec.Token{ID: "t"})
	end := b.now.Add(session.Life)
	for b.now.Add(time.Hour).Before(end) {
		b.wait(time.Hour)
		if found, ok := b.Find(id); !ok || found.Expires.After(end) {
			t.Fatalf("at %s: %v, expires %s", b.now, ok, found.Expires)
		}
	}
	b.now = end
	if _, ok := b.Find(id); ok {
		t.Error("a session was found after its life")
	}
}

func TestSessionEndsWithItsToken(t *testing.T) {
	b := setup()
	id, _ := b.Begin(spec.Token{ID: "t"})
	other, _ := b.Begin(spec.Token{ID: "u"})
	b.tokens.revoke("t")
	if _, ok := b.Find(id); ok {
		t.Error("the session of a revoked token was found")
	}
	b.tokens.revoked["t"] = false
	if b.Lasts(id) {
		t.Error("a session that has ended begins again")
	}
	if !b.Lasts(other) {
		t.Error("another token's session has ended")
	}
}

func TestSessionEndsOnLogout(t *testing.T) {
	b := setup()
	id, _ := b.Begin(spec.Token{ID: "t"})
	b.End(id)
	b.End("unknown")
	if _, ok := b.Find(id); ok {
		t.Error("it was found")
	}
}

func TestCodeLogsInOnce(t *testing.T) {
	b := setup()
	code, until := b.NewCode(spec.Token{ID: "t"})
	if want := b.now.Add(session.CodeLife); !until.Equal(want) {
		t.Errorf("until %s, want %s", until, want)
	}
	if token, ok := b.Redeem(code); !ok || token.ID != "t" {
		t.Fatalf("got %v, %v", token, ok)
	}
	if _, ok := b.Redeem(code); ok {
		t.Error("a code was used twice")
	}
	late, _ := b.NewCode(spec.Token{ID: "t"})
	b.wait(session.CodeLife)
	if _, ok := b.Redeem(late); ok {
		t.Error("an old code was accepted")
	}
	revoked, _ := b.NewCode(spec.Token{ID: "t"})
	b.tokens.revoke("t")
	if _, ok := b.Redeem(revoked); ok {
		t.Error("a code of a revoked token was accepted")
	}
	if _, ok := b.Redeem(""); ok {
		t.Error("no code was accepted")
	}
}

// TestCodeIsRedeemedOnceByConcurrentLogins: of logins at the same time one succeeds.
func TestCodeIsRedeemedOnceByConcurrentLogins(t *testing.T) {
	b := setup()
	code, _ := b.NewCode(spec.Token{ID: "t"})
	var wait sync.WaitGroup
	won := make(chan bool, 16)
	for range cap(won) {
		wait.Go(func() {
			_, ok := b.Redeem(code)
			won <- ok
		})
	}
	wait.Wait()
	n := 0
	for range cap(won) {
		if <-won {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d logins succeeded", n)
	}
}

func TestCodesAreBounded(t *testing.T) {
	b := setup()
	var list []string
	for range 1000 {
		code, _ := b.NewCode(spec.Token{ID: "t"})
		list = append(list, code)
		b.wait(time.Millisecond)
	}
	valid := 0
	for _, code := range list {
		if _, ok := b.Redeem(code); ok {
			valid++
		}
	}
	if valid != 16 {
		t.Errorf("%d codes are valid, want the latest 16", valid)
	}
}

// TestManyLoginsAreBounded: 10,000 logins of one token leave its latest 100 sessions, and
// end none of another token.
func TestManyLoginsAreBounded(t *testing.T) {
	b := setup()
	other, _ := b.Begin(spec.Token{ID: "other"})
	var ids []string
	for range 10_000 {
		b.wait(time.Millisecond)
		id, _ := b.Begin(spec.Token{ID: "t"})
		ids = append(ids, id)
	}
	for i, id := range ids {
		if got, want := b.Lasts(id), i >= len(ids)-session.MaxPerToken; got != want {
			t.Fatalf("login %d lasts: %v, want %v", i, got, want)
		}
	}
	if !b.Lasts(other) {
		t.Error("another token's session has ended")
	}
}

func TestSessionsOfManyTokensAreBounded(t *testing.T) {
	b := setup()
	var ids []string
	for i := range session.Max + 100 {
		b.wait(time.Millisecond)
		id, _ := b.Begin(spec.Token{ID: fmt.Sprint(i)})
		ids = append(ids, id)
	}
	last := 0
	for _, id := range ids {
		if b.Lasts(id) {
			last++
		}
	}
	if last != session.Max || !b.Lasts(ids[len(ids)-1]) || b.Lasts(ids[0]) {
		t.Errorf("%d sessions last, want the latest %d", last, session.Max)
	}
}

// TestSessionModel compares random calls with a plain model.
func TestSessionModel(t *testing.T) {
	type state struct {
		id, token   string
		begun, used time.Time
		over        bool
	}
	rapid.Check(t, func(rt *rapid.T) {
		b := setup()
		var list []*state
		live := func(s *state) bool {
			return !s.over && !b.tokens.revoked[s.token] && b.now.Before(s.begun.Add(session.Life)) && b.now.Before(s.used.Add(session.Idle))
		}
		rt.Repeat(map[string]func(*rapid.T){
			"begin": func(rt *rapid.T) {
				token := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "token")
				id, _ := b.Begin(spec.Token{ID: token})
				list = append(list, &state{id: id, token: token, begun: b.now, used: b.now})
			},
			"find": func(rt *rapid.T) {
				if len(list) == 0 {
					return
				}
				s := rapid.SampledFrom(list).Draw(rt, "session")
				found, ok := b.Find(s.id)
				if ok != live(s) || ok && found.Token.ID != s.token {
					rt.Fatalf("found %v %v, want %v", found, ok, live(s))
				}
				if ok {
					s.used = b.now
				} else {
					s.over = true
				}
			},
			"end": func(rt *rapid.T) {
				if len(list) == 0 {
					return
				}
				s := rapid.SampledFrom(list).Draw(rt, "session")
				b.End(s.id)
				s.over = true
			},
			"wait": func(rt *rapid.T) {
				b.wait(time.Duration(rapid.Int64Range(0, int64(20*time.Hour)).Draw(rt, "wait")))
			},
			"revoke": func(rt *rapid.T) {
				if rapid.IntRange(0, 9).Draw(rt, "chance") == 0 {
					b.tokens.revoke(rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "token"))
				}
			},
			"": func(rt *rapid.T) {
				for _, s := range list {
					if got := b.Lasts(s.id); got != live(s) {
						rt.Fatalf("lasts %v, want %v", got, live(s))
					}
					s.over = s.over || !live(s)
				}
			},
		})
	})
}

func TestCookie(t *testing.T) {
	request := func(host, origin string, cookies ...string) *http.Request {
		r := httptest.NewRequest("GET", "http://"+host+"/", nil)
		r.Host = host
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		for _, c := range cookies {
			r.Header.Add("Cookie", c)
		}
		return r
	}
	plain := request("127.0.0.1:8080", "http://127.0.0.1:8080")
	c := session.Cookie(plain, "x")
	if c.Name != "berth_session_8080" || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Secure || c.Domain != "" || c.MaxAge <= 0 {
		t.Errorf("got %+v", c)
	}
	if c := session.NoCookie(plain); c.MaxAge >= 0 || c.Value != "" || c.Name != "berth_session_8080" {
		t.Errorf("got %+v", c)
	}
	if c := session.Cookie(request("berth.example.com", "https://berth.example.com"), "x"); !c.Secure || c.Name != "berth_session" {
		t.Errorf("behind TLS: got %+v", c)
	}
	for _, tt := range []struct {
		name, want string
		r          *http.Request
	}{
		{"none", "", plain},
		{"one", "x", request("127.0.0.1:8080", "", "a=b; berth_session_8080=x")},
		{"of another port", "", request("127.0.0.1:9090", "", "berth_session_8080=x")},
		{"without a port", "y", request("berth.example.com", "", "berth_session=y; berth_session_8080=x")},
		{"two", "", request("127.0.0.1:8080", "", "berth_session_8080=planted; berth_session_8080=x")},
		{"of an IPv6 address", "z", request("[::1]:8080", "", "berth_session_8080=z")},
	} {
		if got := session.ID(tt.r); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
