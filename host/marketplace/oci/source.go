package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/berth-host/berth/abi/strictjson"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/marketplace"
)

// The CNCF's layout (Wasm OCI Artifact layout of TAG Runtime's wasm working group).
const (
	configType = "application/vnd.wasm.config.v0+json"
	layerType  = "application/wasm"
)

// Scheme is the prefix of a reference.
const Scheme = "oci://"

const (
	maxManifest  = 256 << 10 // bytes
	maxReference = 1024      // bytes
)

// Config configures a Source.
type Config struct {
	Fetcher *marketplace.Fetcher // its checks and credentials are used. Required
	// DockerConfig is a file written by `docker login` (config.json); "" for none. It is
	// read at each fetch. Only credentials in the file itself are used: no credential
	// helper is run. A credential of the Fetcher for the same host takes precedence.
	DockerConfig string
	Timeout      time.Duration // of Resolve, and of the whole stream of Open. 0: 3m
	MaxSize      int64         // of a module, in bytes. 0: marketplace.MaxSize
}

// Source fetches from registries. It is safe for concurrent use.
type Source struct{ cfg Config }

// New returns a Source.
func New(cfg Config) (*Source, error) {
	if cfg.Fetcher == nil {
		return nil, fault.New(fault.Internal, "oci: Config.Fetcher is required")
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 3 * time.Minute
	}
	if cfg.MaxSize <= 0 {
		cfg.MaxSize = marketplace.MaxSize
	}
	return &Source{cfg}, nil
}

// Artifact is the artifact of a reference.
type Artifact struct {
	Reference      string // with the manifest's digest: oci://registry/repository@sha256:…
	ManifestDigest string // sha256:…
	SHA256         string // of the module, hex, lower case
	Size           int64  // of the module, bytes
	Annotations    map[string]string
}

// Resolve returns the present artifact of a reference (oci://registry/repository:tag or
// …@sha256:…). Errors name the field url: fault.Invalid for an invalid reference, an
// address that is not allowed or an artifact of another layout; fault.NotFound;
// fault.Denied if the registry requires other credentials; fault.Exhausted for too large
// a module; fault.Unavailable and fault.Timeout.
func (s *Source) Resolve(ctx context.Context, reference string) (Artifact, error) {
	ref, err := parse(reference)
	if err != nil {
		return Artifact{}, err
	}
	var a Artifact
	err = s.with(ctx, ref, func(ctx context.Context, repo *remote.Repository) error {
		desc, err := repo.Resolve(ctx, ref.Reference)
		if err != nil {
			return err
		}
		a, err = s.manifest(ctx, repo, ref, desc)
		return err
	})
	return a, err
}

// readAll reads exactly the described bytes. Its errors are for people.
func readAll(r io.Reader, desc ocispec.Descriptor) ([]byte, error) {
	b, err := content.ReadAll(r, desc)
	switch {
	case errors.Is(err, content.ErrTrailingData):
		return nil, fault.Field("url", "the registry sends more than the %d bytes of %s", desc.Size, desc.Digest)
	case errors.Is(err, content.ErrMismatchedDigest):
		return nil, fault.Field("url", "what the registry sends does not have the digest %s", desc.Digest)
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return nil, &fault.Error{Code: fault.Unavailable, Field: "url", Reason: fmt.Sprintf("the content of %s is cut off",
			desc.Digest), Err: err}
	}
	return b, err
}

// manifest reads and checks the manifest of a reference.
func (s *Source) manifest(ctx context.Context, repo *remote.Repository, ref registry.Reference, desc ocispec.Descriptor) (Artifact, error) {
	switch {
	case desc.MediaType != ocispec.MediaTypeImageManifest:
		return Artifact{}, fault.Field("url", "%s is a %.80q, not an image manifest: it must be an artifact of one WebAssembly module",
			ref, desc.MediaType)
	case desc.Digest.Algorithm() != digest.SHA256:
		return Artifact{}, fault.Field("url", "%s has the digest %.80q: only sha256 will do", ref, desc.Digest)
	case desc.Size > maxManifest:
		return Artifact{}, fault.Field("url", "%s has a manifest of %d bytes: the limit is %d", ref, desc.Size, maxManifest)
	}
	body, err := repo.Manifests().Fetch(ctx, desc)
	if err != nil {
		return Artifact{}, err
	}
	defer body.Close()
	text, err := readAll(body, desc)
	if err != nil {
		return Artifact{}, err
	}
	return s.judge(ref, desc.Digest, text)
}

// judge accepts only a manifest of the CNCF's layout.
func (s *Source) judge(ref registry.Reference, sum digest.Digest, text []byte) (Artifact, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return Artifact{}, fault.Field("url", "%s has a manifest that cannot be read", ref)
	}
	if shape := strictjson.Inspect(text, true); shape.Repeated {
		return Artifact{}, fault.Field("url",
			"%s has a manifest that names %.80q twice, perhaps in other case: other tools may read another artifact in it", ref, shape.Key)
	}
	wrong := func(format string, args ...any) (Artifact, error) {
		return Artifact{}, fault.Field("url", "%s is not an artifact of one WebAssembly module: %s", ref, fmt.Sprintf(format, args...))
	}
	switch {
	case m.Config.MediaType != configType:
		return wrong("its config is %.80q, not %s", m.Config.MediaType, configType)
	case len(m.Layers) != 1:
		return wrong("it has %d layers, not one", len(m.Layers))
	}
	layer := m.Layers[0]
	switch {
	case layer.MediaType != layerType:
		return wrong("its layer is %.80q, not %s", layer.MediaType, layerType)
	case layer.Digest.Validate() != nil || layer.Digest.Algorithm() != digest.SHA256:
		return wrong("its layer has the digest %.80q, not a sha256", layer.Digest)
	case layer.Size <= 0:
		return wrong("its layer has %d bytes", layer.Size)
	case layer.Size > s.cfg.MaxSize:
		return Artifact{}, s.tooLarge(layer.Size)
	}
	ref.Reference = sum.String()
	return Artifact{
		Reference: Scheme + ref.String(), ManifestDigest: sum.String(),
		SHA256: layer.Digest.Encoded(), Size: layer.Size, Annotations: m.Annotations,
	}, nil
}

func (s *Source) tooLarge(size int64) error {
	return &fault.Error{Code: fault.Exhausted, Field: "url", Reason: fmt.Sprintf("the module has %d bytes: the limit is %d", size,
		s.cfg.MaxSize)}
}

// parse parses a reference; its tag or digest is required.
func parse(reference string) (registry.Reference, error) {
	const field = "url"
	name, ok := strings.CutPrefix(reference, Scheme)
	switch {
	case len(reference) > maxReference:
		return registry.Reference{}, fault.Field(field, "is %d bytes long: the limit is %d", len(reference), maxReference)
	case !ok:
		return registry.Reference{}, fault.Field(field, "must begin with %s", Scheme)
	}
	ref, err := registry.ParseReference(name)
	if err != nil {
		return registry.Reference{}, fault.Field(field,
			"is not a reference such as oci://registry.example.com/team/echo:1.2.0") // it may hold a password
	}
	if ref.Reference == "" {
		return registry.Reference{}, fault.Field(field, "names no version: add :TAG or @sha256:DIGEST")
	}
	return ref, nil
}

// visit is a group of requests to one repository.
type visit struct {
	s       *Source
	ref     registry.Reference
	session *marketplace.Session
	repo    *remote.Repository
	cred    auth.Credential
}

// visit prepares requests to a repository. The caller closes its session.
func (s *Source) visit(ctx context.Context, ref registry.Reference) (*visit, error) {
	session := s.cfg.Fetcher.Session()
	secure := &url.URL{Scheme: "https", Host: ref.Host()}
	if err := session.CheckURL(secure); err != nil {
		return nil, err
	}
	cred, own, err := s.credential(ctx, ref)
	if err != nil {
		return nil, err
	}
	client := session.Client()
	if own {
		client.Transport = onlyTo{secure.Host, client.Transport}
	}
	repo := &remote.Repository{
		Reference:        ref,
		MaxMetadataBytes: maxManifest,
		Client: &auth.Client{
			Client:               client,
			Header:               http.Header{"User-Agent": {"berth"}, "Accept-Encoding": {"identity"}},
			Cache:                auth.NewSingleContextCache(),
			Credential:           auth.StaticCredential(ref.Registry, cred),
			BlockedRealmPrefixes: []netip.Prefix{}, // the guarded client checks every address
		},
	}
	return &visit{s, ref, session, repo, cred}, nil
}

// do calls a function with the repository. A listed registry that speaks plain http is
// called that way, unless a credential would be sent.
func (v *visit) do(ctx context.Context, do func(context.Context, *remote.Repository) error) error {
	err := do(ctx, v.repo)
	if errors.Is(err, http.ErrSchemeMismatch) && v.session.CheckURL(&url.URL{Scheme: "http", Host: v.ref.Host()}) == nil {
		if v.cred != auth.EmptyCredential {
			return fault.Field("url", "the registry %s speaks plain http: credentials are not sent that way", v.ref.Registry)
		}
		v.repo.PlainHTTP = true
		err = do(ctx, v.repo)
	}
	return v.s.explain(ctx, v.session, v.ref, err)
}

// with calls do in a visit of its own.
func (s *Source) with(ctx context.Context, ref registry.Reference, do func(context.Context, *remote.Repository) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	v, err := s.visit(ctx, ref)
	if err != nil {
		return err
	}
	defer v.session.Close()
	return v.do(ctx, do)
}

// onlyTo keeps a configured credential from other hosts, token servers included. For
// docker's token servers there is docker's file.
type onlyTo struct {
	host string
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (o onlyTo) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != o.host && req.Header.Get("Authorization") != "" {
		return nil, fault.Field("url",
			"the registry %s has its credentials checked by %s, and marketplace.credentials go to the host they name only: use "+
				"marketplace.docker_config", o.host, req.URL.Host)
	}
	return o.next.RoundTrip(req)
}

// explain adds a code to an error, with a text for people.
func (s *Source) explain(ctx context.Context, session *marketplace.Session, ref registry.Reference, err error) error {
	var known *fault.Error
	var answer *errcode.ErrorResponse
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return &fault.Error{Code: fault.Timeout, Field: "url", Reason: "the registry " + ref.Registry + " did not answer in time",
			Err: ctx.Err()}
	case errors.Is(err, errdef.ErrNotFound):
		return &fault.Error{Code: fault.NotFound, Field: "url", Reason: fmt.Sprintf("the registry has no %s", ref), Err: err}
	case errors.Is(err, auth.ErrBasicCredentialNotFound):
		return &fault.Error{Code: fault.Denied, Field: "url",
			Reason: fmt.Sprintf("the registry %s wants credentials: give some in marketplace.credentials or marketplace.docker_config",
				ref.Registry), Err: err}
	case errors.As(err, &answer):
		code, status := fault.Invalid, answer.StatusCode
		switch {
		case status == http.StatusUnauthorized || status == http.StatusForbidden:
			return &fault.Error{Code: fault.Denied, Field: "url",
				Reason: fmt.Sprintf("the registry %s answers %d %s: it wants other credentials", ref.Registry, status,
					http.StatusText(status)), Err: err}
		case status >= 500 || status == http.StatusTooManyRequests:
			code = fault.Unavailable
		}
		return &fault.Error{Code: code, Field: "url", Reason: fmt.Sprintf("the registry %s answers %d %s", ref.Registry, status,
			http.StatusText(status)), Err: err}
	}
	return session.Explain(&url.URL{Scheme: "https", Host: ref.Host()}, err)
}
