package sources

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/url"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/marketplace/format"
	"github.com/berth-host/berth/host/marketplace/index"
	"github.com/berth-host/berth/host/marketplace/oci"
)

// Resolve implements install.Source.
func (s *Sources) Resolve(ctx context.Context, r install.Request) (install.Release, error) {
	switch {
	case r.URL != "":
		return byURL(r)
	case r.Ref != "":
		return s.byReference(ctx, r)
	}
	return s.byName(ctx, r)
}

// byName resolves a release of the marketplace. An upgrade names the publisher of
// the installed version.
func (s *Sources) byName(ctx context.Context, r install.Request) (install.Release, error) {
	client, err := s.marketplace()
	if err != nil {
		return install.Release{}, err
	}
	name := r.Name
	if r.Publisher != "" {
		name = r.Publisher + "/" + name
	}
	found, err := client.Resolve(ctx, name, r.Version)
	if err != nil {
		return install.Release{}, upstream(err)
	}
	if found.Deprecated != "" {
		s.Logger.Warn("installing a deprecated release", "release", found.Reference(), "reason", found.Deprecated)
	}
	return install.Release{
		Name: found.Name, Version: found.Version, Publisher: found.Publisher, SHA256: found.SHA256, Size: found.Size, ABI: found.ABI,
		Capabilities: append([]abi.Capability{}, found.Capabilities...), // not nil: an empty list is a statement
		SignedBy:     found.Key,
		Source:       "marketplace " + found.Source,
		Released:     found.Released,
		Handle:       found,
	}, nil
}

// byReference resolves a reference of a registry to a digest. The module itself
// states the name and version.
func (s *Sources) byReference(ctx context.Context, r install.Request) (install.Release, error) {
	registry, err := s.registry()
	if err != nil {
		return install.Release{}, err
	}
	a, err := registry.Resolve(ctx, r.Ref)
	if err != nil {
		return install.Release{}, upstreamOfRef(err)
	}
	return install.Release{Name: r.Name, SHA256: a.SHA256, Size: a.Size, Handle: a, Source: a.Reference}, nil
}

func (s *Sources) registry() (*oci.Source, error) {
	cfg := s.Settings()
	fetcher, err := s.fetcher(cfg)
	if err != nil {
		return nil, err
	}
	return oci.New(oci.Config{Fetcher: fetcher, DockerConfig: cfg.DockerConfig})
}

// byURL returns the release of a URL, whose digest the operator states. The module
// itself states the name and version.
func byURL(r install.Request) (install.Release, error) {
	sum, err := hex.DecodeString(r.SHA256)
	if err != nil || len(sum) != 32 {
		return install.Release{}, fault.Field("sha256", "must be the SHA-256 of the module: 64 hexadecimal digits")
	}
	return install.Release{Name: r.Name, SHA256: hex.EncodeToString(sum), Handle: r.URL, Source: "url " + bareURL(r.URL)}, nil
}

// bareURL removes the parts of a URL that may be secret.
func bareURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// Open implements install.Source.
func (s *Sources) Open(ctx context.Context, rel install.Release, offset int64) (body io.ReadCloser, err error) {
	wrap := upstream
	switch handle := rel.Handle.(type) {
	case string:
		body, err = s.openURL(ctx, handle, offset)
	case index.Release:
		client, wrong := s.marketplace()
		if wrong != nil {
			return nil, wrong
		}
		body, err = client.Open(ctx, handle, offset)
	case oci.Artifact:
		wrap = upstreamOfRef
		var registry *oci.Source
		if registry, err = s.registry(); err == nil {
			body, err = registry.Open(ctx, handle, offset)
		}
	default:
		return nil, fault.New(fault.Internal, "open %s: unknown source", rel.Source)
	}
	if err != nil {
		return nil, wrap(err)
	}
	return upstreamBody{body, body, wrap}, nil
}

// openURL downloads the content of a URL. It fails on content that does not begin
// like a module.
func (s *Sources) openURL(ctx context.Context, rawURL string, offset int64) (io.ReadCloser, error) {
	fetcher, err := s.fetcher(s.Settings())
	if err != nil {
		return nil, err
	}
	session := fetcher.Session()
	body, err := session.Open(ctx, rawURL, offset)
	if err != nil {
		session.Close()
		return nil, err
	}
	module := &sessionBody{bufio.NewReader(body), body, session}
	if offset == 0 {
		const magic = "\x00asm"
		begin, err := module.Peek(len(magic))
		if err == nil && string(begin) != magic || errors.Is(err, io.EOF) {
			err = fault.Field("url", `the content is not a WebAssembly module: it does not begin with the bytes \0asm`)
		}
		if err != nil {
			return nil, errors.Join(err, module.Close())
		}
	}
	return module, nil
}

// sessionBody is a body that closes its session.
type sessionBody struct {
	*bufio.Reader
	body    io.Closer
	session *marketplace.Session
}

// Close implements io.Closer.
func (b *sessionBody) Close() error {
	err := b.body.Close()
	b.session.Close()
	return err
}

// upstreamBody is a body whose errors are those of an upstream server.
type upstreamBody struct {
	io.Reader
	io.Closer
	wrap func(error) error
}

// Read implements io.Reader.
func (b upstreamBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.wrap(err)
	}
	return n, err
}

// upstreamOfRef is upstream for a reference: an error about the field url is about
// the field ref.
func upstreamOfRef(err error) error {
	var f *fault.Error
	if errors.As(err, &f) && f.Field == "url" {
		ref := *f
		ref.Field = "ref"
		return upstream(&ref)
	}
	return upstream(err)
}

// upstreamError is an error of a server that plugins are installed from, or about
// its answer.
type upstreamError struct{ error }

// Unwrap returns the error with its code.
func (e upstreamError) Unwrap() error { return e.error }

// Upstream implements problem.UpstreamError.
func (upstreamError) Upstream() {}

// upstream marks an error as one of an upstream server. A release that a rule of
// this host refuses is a fault.Conflict instead.
func upstream(err error) error {
	for _, rule := range []format.Kind{format.Revoked, format.TooNew} {
		var kind format.Kind
		if errors.As(err, &kind) && kind == rule {
			return fault.New(fault.Conflict, "%w", err)
		}
	}
	return upstreamError{err}
}
