package traffic

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
)

// Server is the host to publish to.
type Server struct {
	URL   string // such as http://127.0.0.1:8080
	Token string
}

// Refused is the error of an answer other than 202.
type Refused struct {
	Status int
	Text   string // its body
}

// Error implements error.
func (r Refused) Error() string {
	return fmt.Sprintf("publish: %d %s: %s", r.Status, http.StatusText(r.Status), r.Text)
}

// conn is one connection. It is for one goroutine.
type conn struct {
	net.Conn
	answers *bufio.Reader
	head    []byte // of every request, up to the length of the body
	request []byte // reused
	unwatch func() bool
}

// dial connects; when ctx ends, the connection's calls fail.
func (s Server) dial(ctx context.Context) (*conn, error) {
	u, err := url.Parse(s.URL)
	if err != nil {
		return nil, err
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	return &conn{
		Conn: c, answers: bufio.NewReader(c), unwatch: context.AfterFunc(ctx, func() { _ = c.Close() }),
		head: fmt.Appendf(nil, "POST /api/v1/events HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: ",
			u.Host, s.Token),
	}, nil
}

// Close closes the connection.
func (c *conn) Close() error {
	c.unwatch()
	return c.Conn.Close()
}

// publish posts a body and waits for the answer 202.
func (c *conn) publish(body []byte) error {
	c.request = append(c.request[:0], c.head...)
	c.request = strconv.AppendInt(c.request, int64(len(body)), 10)
	c.request = append(c.request, "\r\n\r\n"...)
	c.request = append(c.request, body...)
	if _, err := c.Write(c.request); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		text, _ := io.ReadAll(resp.Body) // as much as there is, for the error
		return Refused{Status: resp.StatusCode, Text: string(text)}
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
