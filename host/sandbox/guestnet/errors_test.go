package guestnet_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/guestnet"
)

// TestErrorsExposeNoAddress: an error for the guest contains no address of a name server,
// of the host, or of a resolved name.
func TestErrorsExposeNoAddress(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := closed.Addr().String()
	_ = closed.Close()
	broken := listen(t, func(c net.Conn) { _ = c.Close() })
	reset := listen(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1))
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	})
	garbage := listen(t, func(c net.Conn) { _, _ = c.Write([]byte("10.1.2.3 speaks\r\n\r\n")); _ = c.Close() })
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	answering := serve(t, func(http.ResponseWriter, *http.Request) {})
	mute := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "udp", Addr: &net.UDPAddr{IP: net.IPv4(10, 0, 0, 53), Port: 53}, Err: errors.New("lookup on 10.0.0.53:53 by proxy.internal")}
	}}
	slow := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.DNSError{Err: "i/o timeout", Server: "10.0.0.53:53", IsTimeout: true}
	}}
	for _, tt := range []struct {
		name, url string
		resolver  *net.Resolver
		code      fault.Code
		want      string
	}{
		{"refused", "http://" + refused + "/", nil, fault.Unavailable, "no answer came: the connection was refused"},
		{"closed", "http://" + broken + "/", nil, fault.Unavailable, "no answer came: the connection was broken off"},
		{"reset", "http://" + reset + "/", nil, fault.Unavailable, "no answer came: the connection was broken off"},
		{"no HTTP", "http://" + garbage + "/", nil, fault.Unavailable, "no answer came: the exchange failed"},
		{"a certificate of nobody", secure.URL + "/", nil, fault.Unavailable, "no answer came: the server's certificate is not accepted"},
		{"no TLS", "https://" + garbage + "/", nil, fault.Unavailable, "no answer came: TLS failed"},
		{"HTTP instead of TLS", "https://" + answering + "/", nil, fault.Unavailable, "no answer came: the exchange failed"},
		{"no such name", "http://api.test/", resolver(""), fault.Unavailable, "no answer came: there is no host of that name"},
		{"no name server", "http://api.test/", mute, fault.Unavailable, "no answer came: the host's name cannot be resolved"},
		{"a slow name server", "http://api.test/", slow, fault.Timeout, "no answer came in time"},
		{"a private address", "http://api.test/", resolver("10.0.0.1"), fault.Denied, "the address is not a public one"},
	} {
		c := client(t, guestnet.Config{Resolver: tt.resolver}, "api.test", "127.0.0.1:"+port(t, tt.url))
		_, err := send(t, c, `{"method":"GET","url":"`+tt.url+`"}`)
		if !fault.Is(err, tt.code) || err.Error() != tt.want {
			t.Errorf("%s: got %v, want %s %q", tt.name, err, tt.code, tt.want)
		}
		if tt.code == fault.Unavailable && errors.Unwrap(err) == nil {
			t.Errorf("%s: the cause is missing", tt.name)
		}
	}
}

// listen accepts connections on the loopback until the test ends.
func listen(t *testing.T, do func(net.Conn)) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			do(c)
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return ln.Addr().String()
}

// port returns the port of a URL, or an unused one.
func port(t *testing.T, url string) string {
	_, address, _ := strings.Cut(url, "://")
	_, port, err := net.SplitHostPort(strings.TrimSuffix(address, "/"))
	if err != nil {
		return "1"
	}
	return port
}
