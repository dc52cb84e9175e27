package marketplace_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/marketplace"
)

// readAll opens a URL and reads it to its end.
func readAll(t *testing.T, s *marketplace.Session, url string, offset int64) ([]byte, error) {
	t.Helper()
	body, err := s.Open(t.Context(), url, offset)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(body)
	if closed := body.Close(); closed != nil {
		t.Error(closed)
	}
	if err != nil {
		return nil, err
	}
	return content, nil
}

func TestOpen(t *testing.T) {
	const text = "0123456789"
	s := shop(t, true, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ranges":
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(text))
		case "/whole":
			fmt.Fprint(w, text)
		case "/elsewhere":
			w.Header().Set("Content-Range", "bytes 1-9/10")
			w.WriteHeader(http.StatusPartialContent)
			fmt.Fprint(w, text[1:])
		case "/nonsense":
			w.Header().Set("Content-Range", "lines 4-9/10")
			w.WriteHeader(http.StatusPartialContent)
		case "/short":
			w.Header().Set("Content-Length", "20")
			fmt.Fprint(w, text)
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			fmt.Fprint(w, text)
		default:
			http.NotFound(w, r)
		}
	})
	f := fetcher(t, marketplace.Config{AllowPrivateHosts: []string{"127.0.0.1"}}, s)
	session := f.Session()
	defer session.Close()
	for _, path := range []string{"/ranges", "/whole"} {
		for offset := range int64(len(text)) {
			got, err := readAll(t, session, s.URL+path, offset)
			if err != nil || string(got) != text[offset:] {
				t.Errorf("%s from %d: got %q, %v", path, offset, got, err)
			}
		}
	}
	for _, tt := range []struct {
		path   string
		offset int64
		code   fault.Code
		text   string
	}{
		{"/ranges", 11, fault.Invalid, "416"},
		{"/whole", 11, fault.Invalid, "ends after 10 bytes, before byte 11"},
		{"/elsewhere", 4, fault.Invalid, "sends another part"},
		{"/nonsense", 4, fault.Invalid, "sends another part"},
		{"/short", 0, fault.Unavailable, "EOF"},
		{"/short", 15, fault.Unavailable, "EOF"},
		{"/gzip", 0, fault.Invalid, `encoded as "gzip"`},
		{"/none", 0, fault.Invalid, "404"},
	} {
		got, err := readAll(t, session, s.URL+tt.path, tt.offset)
		if got != nil || !fault.Is(err, tt.code) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s from %d: got %q, %v; want %s: %s", tt.path, tt.offset, got, err, tt.code, tt.text)
		}
		if errors.Is(err, marketplace.ErrAbsent) != (tt.path == "/none") {
			t.Errorf("%s: is it absent? %v", tt.path, err)
		}
	}
}

// A stream that stops is given up, however far it has come.
func TestOpenStalls(t *testing.T) {
	for name, first := range map[string]string{"before the header": "", "in the middle": "0123"} {
		t.Run(name, func(t *testing.T) {
			s := shop(t, true, func(w http.ResponseWriter, r *http.Request) {
				if first != "" {
					fmt.Fprint(w, first)
					_ = http.NewResponseController(w).Flush()
				}
				<-r.Context().Done()
			})
			f := fetcher(t, marketplace.Config{AllowPrivateHosts: []string{"127.0.0.1"}, Stall: 50 * time.Millisecond}, s)
			session := f.Session()
			defer session.Close()
			_, err := readAll(t, session, s.URL, 0)
			if !fault.Is(err, fault.Timeout) || !strings.Contains(err.Error(), "sent nothing for 50ms") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestCancelledFetch: the error of a cancelled fetch does not blame the server.
func TestCancelledFetch(t *testing.T) {
	asked := make(chan struct{}, 2)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("a"))
		_ = http.NewResponseController(w).Flush()
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	f, err := marketplace.New(marketplace.Config{AllowPrivateHosts: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	s := f.Session()
	defer s.Close()
	for name, do := range map[string]func(context.Context) error{
		"a file": func(ctx context.Context) error { _, err := s.Get(ctx, server.URL, 10); return err },
		"a module": func(ctx context.Context) error {
			body, err := s.Open(ctx, server.URL, 0)
			if err != nil {
				return err
			}
			_, err = io.ReadAll(body)
			return errors.Join(err, body.Close())
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-asked
			cancel()
		}()
		err := do(ctx)
		if !fault.Is(err, fault.Timeout) || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "was cancelled") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestGet(t *testing.T) {
	s := shop(t, true, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/drip": // slow loris: a byte now and then, for ever
			for r.Context().Err() == nil {
				fmt.Fprint(w, " ")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-r.Context().Done():
				case <-time.After(time.Millisecond):
				}
			}
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1000)); err != nil {
					return
				}
			}
		default:
			fmt.Fprint(w, "0123456789")
		}
	})
	f := fetcher(t, marketplace.Config{AllowPrivateHosts: []string{"127.0.0.1"}, Timeout: 300 * time.Millisecond}, s)
	session := f.Session()
	defer session.Close()
	if got, err := session.Get(t.Context(), s.URL, 10); err != nil || string(got) != "0123456789" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, tt := range []struct {
		path  string
		limit int64
		code  fault.Code
	}{{"/", 9, fault.Exhausted}, {"/endless", 5000, fault.Exhausted}, {"/drip", 1 << 20, fault.Timeout}} {
		if got, err := session.Get(t.Context(), s.URL+tt.path, tt.limit); got != nil || !fault.Is(err, tt.code) {
			t.Errorf("%s: got %d bytes, %v", tt.path, len(got), err)
		}
	}
}

// nameServer answers every question for an address of version 4 with the next of
// these, and the last again and again.
func nameServer(t *testing.T, answers ...string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			reply, asked := dnsReply(buf[:n], net.ParseIP(answers[0]).To4())
			if asked && len(answers) > 1 {
				answers = answers[1:]
			}
			_, _ = conn.WriteTo(reply, from)
		}
	})
	t.Cleanup(func() {
		_ = conn.Close()
		wg.Wait()
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// dnsReply answers a question (RFC 1035, 4): an address if it is for one of
// version 4, and nothing otherwise.
func dnsReply(question []byte, ip net.IP) (reply []byte, asked bool) {
	end := 12
	for question[end] != 0 {
		end += int(question[end]) + 1
	}
	end += 5 // the root, type and class
	asked = question[end-3] == 1
	reply = append([]byte{}, question[:end]...)
	reply[2], reply[3] = 0x81, 0x80 // an answer, recursion available, no error
	copy(reply[4:12], []byte{0, 1, 0, 0, 0, 0, 0, 0})
	if asked {
		reply[7] = 1
		reply = append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		reply = append(reply, ip...)
	}
	return reply, asked
}

// TestRebinding: a name that resolves to an allowed address first and to another one
// later is refused then: the address that is connected to counts.
func TestRebinding(t *testing.T) {
	s := shop(t, true, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(module) })
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("tcp", "127.0.0.2:"+u.Port()) // where the name leads to the second time
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	f := fetcher(t, marketplace.Config{AllowPrivateHosts: []string{"127.0.0.1"}, Resolver: nameServer(t, "127.0.0.1", "127.0.0.2")}, s)
	name := "https://example.com:" + u.Port() // the certificate's name
	if _, err := f.Get(t.Context(), name); err != nil {
		t.Fatalf("the first time: %v", err)
	}
	got, err := f.Get(t.Context(), name)
	refused(t, got, err, fault.Invalid, "url", "example.com is at 127.0.0.2, which is not an address of the public internet")
}

// TestCredentials: a credential is sent to its own server only, not after a redirect, and
// not after a redirect back.
func TestCredentials(t *testing.T) {
	var mu sync.Mutex
	seen := map[string][]string{}
	note := func(who string, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen[who+r.URL.Path] = append(seen[who+r.URL.Path], r.Header.Get("Authorization"))
	}
	var first, second *httptest.Server
	second = shop(t, true, func(w http.ResponseWriter, r *http.Request) {
		note("second", r)
		if r.URL.Path == "/back" {
			http.Redirect(w, r, first.URL+"/returned", http.StatusFound)
			return
		}
		_, _ = w.Write(module)
	})
	first = shop(t, true, func(w http.ResponseWriter, r *http.Request) {
		note("first", r)
		switch r.URL.Path {
		case "/on":
			http.Redirect(w, r, "/here", http.StatusFound)
		case "/away":
			http.Redirect(w, r, second.URL+"/there", http.StatusFound)
		case "/round":
			http.Redirect(w, r, second.URL+"/back", http.StatusFound)
		default:
			_, _ = w.Write(module)
		}
	})
	host := strings.TrimPrefix(first.URL, "https://")
	secrets := func(name string) (string, error) {
		values := map[string]string{"token": "t0ken", "pair": "ada:s3cret", "lines": "s3cret\nX-Evil: 1", "empty": ""}
		if v, ok := values[name]; ok {
			return v, nil
		}
		return "", fault.New(fault.NotFound, "there is no secret %s", name)
	}
	for _, tt := range []struct {
		kind           marketplace.CredentialType
		secret, header string
	}{{marketplace.Bearer, "token", "Bearer t0ken"}, {marketplace.Basic, "pair", "Basic YWRhOnMzY3JldA=="}} {
		clear(seen)
		f := fetcher(t, marketplace.Config{
			AllowPrivateHosts: []string{"127.0.0.1"}, Secret: secrets,
			Credentials: []marketplace.Credential{{Host: host, Secret: tt.secret, Type: tt.kind}},
		}, first, second)
		for _, path := range []string{"/on", "/away", "/round"} {
			if _, err := f.Get(t.Context(), first.URL+path); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		for server, want := range map[string]string{
			"first/on": tt.header, "first/here": tt.header, "first/away": tt.header, "first/round": tt.header,
			"second/there": "", "second/back": "", "first/returned": "",
		} {
			if got := strings.Join(seen[server], "|"); len(seen[server]) != 1 || got != want {
				t.Errorf("%s got the credential %q, want %q", server, got, want)
			}
		}
	}
	for _, tt := range []struct {
		c    marketplace.Credential
		code fault.Code
		text string
	}{
		{marketplace.Credential{Host: host, Secret: "none", Type: marketplace.Bearer}, fault.NotFound, "there is no secret none"},
		{marketplace.Credential{Host: host, Secret: "lines", Type: marketplace.Bearer}, fault.Invalid, "one line"},
		{marketplace.Credential{Host: host, Secret: "empty", Type: marketplace.Bearer}, fault.Invalid, "one line"},
		{marketplace.Credential{Host: host, Secret: "token", Type: marketplace.Basic}, fault.Invalid, "user:password"},
	} {
		f := fetcher(t, marketplace.Config{AllowPrivateHosts: []string{"127.0.0.1"}, Secret: secrets, Credentials: []marketplace.Credential{tt.c}}, first)
		got, err := f.Get(t.Context(), first.URL)
		if got != nil || !fault.Is(err, tt.code) || !strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%+v: got %v", tt.c, err)
		}
	}
	for _, c := range []marketplace.Credential{
		{Host: "", Secret: "token", Type: marketplace.Bearer}, {Host: "https://a.example", Secret: "token", Type: marketplace.Bearer},
		{Host: "a.example/x", Secret: "token", Type: marketplace.Bearer}, {Host: "u@a.example", Secret: "token", Type: marketplace.Bearer},
		{Host: "a.example", Secret: "token", Type: "digest"}, {Host: "a.example", Type: marketplace.Bearer},
	} {
		if _, err := marketplace.New(marketplace.Config{Credentials: []marketplace.Credential{c}}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: got %v", c, err)
		}
	}
}
