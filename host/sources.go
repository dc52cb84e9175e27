package host

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

// sources are where plugins may be installed from: the marketplace, a URL, a
// registry. Whom they may talk to is in the configuration, so whatever talks is
// made for each of their calls.
type sources struct{ h *Host }

// Resolve implements install.Source.
func (s sources) Resolve(ctx context.Context, r install.Request) (install.Release, error) {
	switch {
	case r.URL != "":
		return byURL(r)
	case r.Ref != "":
		return s.byReference(ctx, r)
	}
	return s.byName(ctx, r)
}

// byName finds a release of the marketplace. An upgrade stays with the publisher.
func (s sources) byName(ctx context.Context, r install.Request) (install.Release, error) {
	client, err := s.h.market.index()
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
		s.h.logger.Warn("a release that is installed is deprecated", "release", found.Reference(), "reason", found.Deprecated)
	}
	return install.Release{
		Name: found.Name, Version: found.Version, Publisher: found.Publisher, SHA256: found.SHA256, Size: found.Size, ABI: found.ABI,
		Capabilities: append([]abi.Capability{}, found.Capabilities...), // none is said as well
		SignedBy:     found.Key,
		Source:       "marketplace " + found.Source,
		Released:     found.Released,
		Handle:       found,
	}, nil
}

// byReference finds out what a reference leads to now; all else than the digest the
// module says.
func (s sources) byReference(ctx context.Context, r install.Request) (install.Release, error) {
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

func (s sources) registry() (*oci.Source, error) {
	cfg := s.h.current.Load().Marketplace
	fetcher, err := s.h.fetcher(cfg)
	if err != nil {
		return nil, err
	}
	return oci.New(oci.Config{Fetcher: fetcher, DockerConfig: cfg.DockerConfig})
}

// byURL makes a release of contents that the operator names by digest: all else
// about them the module says.
func byURL(r install.Request) (install.Release, error) {
	sum, err := hex.DecodeString(r.SHA256)
	if err != nil || len(sum) != 32 {
		return install.Release{}, fault.Field("sha256", "must be the SHA-256 of the module: 64 hexadecimal digits")
	}
	return install.Release{Name: r.Name, SHA256: hex.EncodeToString(sum), Handle: r.URL, Source: "url " + bareURL(r.URL)}, nil
}

// bareURL leaves out of a URL what may be a secret.
func bareURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// Open implements install.Source.
func (s sources) Open(ctx context.Context, rel install.Release, offset int64) (body io.ReadCloser, err error) {
	switch handle := rel.Handle.(type) {
	case string:
		body, err = s.openURL(ctx, handle, offset)
	case index.Release:
		client, wrong := s.h.market.index()
		if wrong != nil {
			return nil, wrong
		}
		body, err = client.Open(ctx, handle, offset)
	case oci.Artifact:
		body, err = s.openArtifact(ctx, handle, offset)
	default:
		return nil, fault.New(fault.Internal, "%s is no source", rel.Source)
	}
	about := upstream
	if _, ok := rel.Handle.(oci.Artifact); ok {
		about = upstreamOfRef
	}
	if err != nil {
		return nil, about(err)
	}
	return content{body, body, about}, nil
}

// openURL streams what a URL leads to. What does not begin as a module is not
// downloaded any further.
func (s sources) openURL(ctx context.Context, rawURL string, offset int64) (io.ReadCloser, error) {
	fetcher, err := s.h.fetcher(s.h.current.Load().Marketplace)
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

// sessionBody is a body that ends its session with it.
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

// openArtifact streams a registry's module.
func (s sources) openArtifact(ctx context.Context, a oci.Artifact, offset int64) (io.ReadCloser, error) {
	registry, err := s.registry()
	if err != nil {
		return nil, err
	}
	return registry.Open(ctx, a, offset)
}

// content is a body whose errors say that they are somebody else's.
type content struct {
	io.Reader
	io.Closer
	about func(error) error
}

// Read implements io.Reader.
func (c content) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = c.about(err)
	}
	return n, err
}

// upstreamOfRef says of an error about a URL that it is about the reference.
func upstreamOfRef(err error) error {
	var f *fault.Error
	if errors.As(err, &f) && f.Field == "url" {
		about := *f
		about.Field = "ref"
		return upstream(&about)
	}
	return upstream(err)
}

// upstreamError is an error of a server that is asked for plugins, or of what it has
// answered.
type upstreamError struct{ error }

// Unwrap gives it its code.
func (f upstreamError) Unwrap() error { return f.error }

// Foreign implements api.Foreign.
func (upstreamError) Foreign() {}

// upstream marks an error as another server's. That a release may not be had, by
// a rule that holds here, is none.
func upstream(err error) error {
	for _, rule := range []format.Kind{format.Revoked, format.TooNew} {
		var kind format.Kind
		if errors.As(err, &kind) && kind == rule {
			return fault.New(fault.Conflict, "%w", err)
		}
	}
	return upstreamError{err}
}
