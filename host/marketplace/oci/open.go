package oci

import (
	"context"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/berth-host/berth/host/fault"
)

// Open streams the module of a resolved artifact from a byte on. If the registry cannot
// begin there, the bytes before are read and dropped. The caller counts and hashes the
// bytes. If the stream ends early, or with fault.Unavailable or fault.Timeout, it can be
// opened again at the offset that was reached. Close it.
func (s *Source) Open(ctx context.Context, a Artifact, offset int64) (io.ReadCloser, error) {
	ref, err := parse(a.Reference)
	if err != nil {
		return nil, err
	}
	desc := ocispec.Descriptor{MediaType: layerType, Digest: digest.NewDigestFromEncoded(digest.SHA256, a.SHA256), Size: a.Size}
	switch err := desc.Digest.Validate(); {
	case err != nil || a.Size <= 0:
		return nil, fault.New(fault.Internal, "oci: %s has no digest or no size", a.Reference)
	case offset < 0 || offset > a.Size:
		return nil, fault.New(fault.Internal, "oci: open %s at byte %d of %d", a.Reference, offset, a.Size)
	case a.Size > s.cfg.MaxSize:
		return nil, s.tooLarge(a.Size)
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	v, err := s.visit(ctx, ref)
	if err != nil {
		cancel()
		return nil, err
	}
	b := &blob{v: v, late: func(err error) error { return s.explain(ctx, v.session, ref, err) }, cancel: cancel}
	err = v.do(ctx, func(ctx context.Context, repo *remote.Repository) (err error) {
		b.body, err = from(ctx, repo, desc, offset)
		return err
	})
	if err != nil {
		b.end()
		return nil, err
	}
	return b, nil
}

// from opens a blob at an offset.
func from(ctx context.Context, repo *remote.Repository, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	body, err := repo.Blobs().Fetch(ctx, desc)
	if err != nil || offset == 0 {
		return body, err
	}
	if seeker, ok := body.(io.Seeker); ok {
		if _, err := seeker.Seek(offset, io.SeekStart); err == nil {
			return body, nil
		}
		// The registry announces ranges without support: read again from the beginning.
		if err := body.Close(); err != nil {
			return nil, err
		}
		if body, err = repo.Blobs().Fetch(ctx, desc); err != nil {
			return nil, err
		}
	}
	if _, err := io.CopyN(io.Discard, body, offset); err != nil {
		return nil, errors.Join(err, body.Close())
	}
	return body, nil
}

// blob is the stream of a module.
type blob struct {
	v      *visit
	body   io.ReadCloser
	late   func(error) error // explains an error of a read
	cancel context.CancelFunc
}

// Read implements io.Reader.
func (b *blob) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = b.late(err)
	}
	return n, err
}

// end stops the timeout and closes the session.
func (b *blob) end() {
	b.cancel()
	b.v.session.Close()
}

// Close implements io.Closer.
func (b *blob) Close() error {
	err := b.body.Close()
	b.end()
	return err
}
