package index

import (
	"context"
	"errors"
	"io"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/marketplace/format"
)

// Open streams a release's module from a byte on, from the first of its URLs that has it.
// The stream ends with io.EOF after exactly Release.Size bytes of the whole, with a
// refusal (WrongSize) if there are more, and with fault.Unavailable if the connection
// ends early: open it again at the offset that was reached. The caller hashes the bytes.
// Close it.
func (c *Client) Open(ctx context.Context, r Release, offset int64) (io.ReadCloser, error) {
	if offset < 0 || offset > r.Size {
		return nil, fault.New(fault.Internal, "index: open %s at byte %d of %d", r.Reference(), offset, r.Size)
	}
	session := c.cfg.Fetcher.Session()
	var problems []error
	for _, path := range r.URLs {
		if !format.ValidPath(path) {
			continue // a Release that Resolve has not made
		}
		body, err := session.Open(ctx, r.Source+path, offset)
		if err == nil {
			return &module{body: body, session: session, c: c, r: r, left: r.Size - offset}, nil
		}
		if errors.Is(err, marketplace.ErrAbsent) {
			err = format.Refuse(format.Absent, "%s: is not there", path)
		}
		problems = append(problems, c.wrap(path, err))
		if ctx.Err() != nil {
			break
		}
	}
	session.Close()
	if len(problems) == 0 {
		return nil, fault.New(fault.Internal, "index: %s has no URL", r.Reference())
	}
	return nil, problems[0]
}

// module is the stream of a module.
type module struct {
	body    io.ReadCloser
	session *marketplace.Session
	c       *Client
	r       Release
	left    int64
}

// Read implements io.Reader.
func (m *module) Read(p []byte) (int, error) {
	if m.left == 0 {
		var one [1]byte
		n, err := io.ReadFull(m.body, one[:])
		switch {
		case n > 0:
			return 0, m.c.wrap("", format.Refuse(format.WrongSize, "the module of %s goes on after its %d bytes", m.r.Reference(),
				m.r.Size))
		case errors.Is(err, io.EOF):
			return 0, io.EOF
		}
		return 0, m.c.wrap("", err)
	}
	if int64(len(p)) > m.left {
		p = p[:m.left]
	}
	n, err := m.body.Read(p)
	m.left -= int64(n)
	switch {
	case err == nil || errors.Is(err, io.EOF) && m.left == 0:
		return n, nil // the end is looked for at the next read
	case errors.Is(err, io.EOF):
		err = fault.New(fault.Unavailable, "the module of %s ends %d bytes early", m.r.Reference(), m.left)
	}
	return n, m.c.wrap("", err)
}

// Close implements io.Closer.
func (m *module) Close() error {
	err := m.body.Close()
	m.session.Close()
	return err
}
