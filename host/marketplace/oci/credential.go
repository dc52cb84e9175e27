package oci

import (
	"context"
	"io"
	"os"
	"strings"
	"syscall"

	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"

	"github.com/berth-host/berth/host/fault"
)

const maxDockerConfig = 1 << 20 // bytes

// credential returns the credential for a registry. own means that the operator has
// configured it for this host.
func (s *Source) credential(ctx context.Context, ref registry.Reference) (cred auth.Credential, own bool, err error) {
	user, secret, found, err := s.cfg.Fetcher.CredentialFor(ref.Host())
	switch {
	case err != nil:
		return auth.EmptyCredential, false, err
	case found && user == "":
		return auth.Credential{AccessToken: secret}, true, nil
	case found:
		return auth.Credential{Username: user, Password: secret}, true, nil
	case s.cfg.DockerConfig == "":
		return auth.EmptyCredential, false, nil
	}
	cred, err = dockerCredential(ctx, s.cfg.DockerConfig, ref.Registry)
	return cred, false, err
}

// dockerCredential reads docker's file. Its error does not contain the file's text.
func dockerCredential(ctx context.Context, path, registry string) (auth.Credential, error) {
	const what = "marketplace.docker_config"
	fail := func(err error) (auth.Credential, error) {
		return auth.EmptyCredential, fault.New(fault.Unavailable, "%s: %w", what, err)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return auth.EmptyCredential, fault.New(fault.Unavailable, "%s: %s is not a regular file", what, path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxDockerConfig+1))
	if err != nil {
		return fail(err)
	}
	store, err := credentials.NewMemoryStoreFromDockerConfig(text)
	if err != nil || len(text) > maxDockerConfig {
		return auth.EmptyCredential, fault.New(fault.Unavailable, "%s: %s is not a docker config file", what, path)
	}
	// The store has the keys as host names; Docker Hub's is the one that is not the
	// registry's.
	key := strings.TrimPrefix(credentials.ServerAddressFromRegistry(registry), "https://")
	key, _, _ = strings.Cut(key, "/")
	cred, err := store.Get(ctx, key)
	if err != nil {
		return auth.EmptyCredential, fault.New(fault.Unavailable, "%s: %s: what it has for %s cannot be read", what, path, registry)
	}
	return cred, nil
}
