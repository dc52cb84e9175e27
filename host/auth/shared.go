package auth

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// SharedKind is the kind of the documents of tokens that the hosts of a cluster share.
const SharedKind = "token"

// Documents keeps the documents that hosts of a cluster share; see live.Shared.
type Documents interface {
	Shared(ctx context.Context, kind string) ([]spec.SharedDocument, error)
	Share(ctx context.Context, d spec.SharedDocument) (revision uint64, err error)
}

// Tokens creates, lists and revokes tokens. The errors are those of the functions Create,
// List and Revoke, and those of the database.
type Tokens interface {
	Create(ctx context.Context, name string, scopes []string, expires time.Time) (Token, string, error)
	List(ctx context.Context) ([]Token, error)
	Revoke(ctx context.Context, id string) (Token, error)
}

// Files is the tokens in a data directory.
type Files string

// Create implements Tokens.
func (f Files) Create(_ context.Context, name string, scopes []string, expires time.Time) (Token, string, error) {
	return Create(string(f), name, scopes, expires)
}

// List implements Tokens.
func (f Files) List(context.Context) ([]Token, error) { return List(string(f)) }

// Revoke implements Tokens.
func (f Files) Revoke(_ context.Context, id string) (Token, error) { return Revoke(string(f), id) }

// Shared is the tokens of all hosts of a cluster. Each document holds the SHA-256 of a
// secret, as a token's file does. Dir is the data directory of this host, which knows when
// it has seen a token last.
type Shared struct {
	Documents Documents
	Dir       string
}

// Create implements Tokens.
func (s Shared) Create(ctx context.Context, name string, scopes []string, expires time.Time) (Token, string, error) {
	t, secret, text, err := newToken(name, scopes, expires)
	if err != nil {
		return Token{}, "", err
	}
	have, err := s.Documents.Shared(ctx, SharedKind)
	if err != nil {
		return Token{}, "", fmt.Errorf("create token: %w", err)
	}
	if len(have) >= maxTokens {
		return Token{}, "", tooMany(len(have))
	}
	if _, err := s.Documents.Share(ctx, spec.SharedDocument{Kind: SharedKind, ID: t.ID, Body: text}); err != nil {
		return Token{}, "", fmt.Errorf("create token: %w", err)
	}
	return t.Token, secret, nil
}

// List implements Tokens.
func (s Shared) List(ctx context.Context) ([]Token, error) {
	docs, err := s.Documents.Shared(ctx, SharedKind)
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	tokens, damaged := readShared(docs)
	used := readUsed(s.Dir)
	list := make([]Token, 0, len(tokens))
	for _, t := range tokens {
		t.LastUsed = used[t.ID]
		list = append(list, t.Token)
	}
	sortTokens(list)
	return list, damaged
}

// Revoke implements Tokens.
func (s Shared) Revoke(ctx context.Context, id string) (Token, error) {
	docs, err := s.Documents.Shared(ctx, SharedKind)
	if err != nil {
		return Token{}, fmt.Errorf("revoke token %s: %w", id, err)
	}
	for _, d := range docs {
		if d.ID != id {
			continue
		}
		t, _ := parseShared(d) // one that cannot be read is removed too
		t.ID = id
		_, err := s.Documents.Share(ctx, spec.SharedDocument{Kind: SharedKind, ID: id, Revision: d.Revision})
		if fault.Is(err, fault.Conflict) { // tokens do not change: another call has removed it
			break
		}
		if err != nil {
			return Token{}, fmt.Errorf("revoke token %s: %w", id, err)
		}
		return t.Token, nil
	}
	return Token{}, fault.New(fault.NotFound, "there is no token %q", id)
}

// readShared returns the tokens of documents, and an error that names the unreadable ones.
func readShared(docs []spec.SharedDocument) (tokens []tokenFile, damaged error) {
	for _, d := range docs {
		t, err := parseShared(d)
		if err != nil {
			damaged = errors.Join(damaged, fault.New(fault.Invalid, "ignoring the token %s in the database: %w", d.ID, err))
			continue
		}
		tokens = append(tokens, t)
	}
	return tokens, damaged
}

func parseShared(d spec.SharedDocument) (tokenFile, error) {
	t, err := parseToken(d.Body)
	if err == nil && (t.ID != d.ID || !validID.MatchString(d.ID)) {
		err = errors.New("the document is named after another token")
	}
	return t, err
}

// Join makes the tokens of the database the valid ones, in place of those of the data
// directory; the admin token remains that of the directory. Call it before the first
// Verify, and Follow when the tokens in the database have changed.
func (v *Verifier) Join(ctx context.Context, documents Documents) error {
	v.documents = documents
	if files, err := readTokens(filepath.Join(v.dir, TokenDir)); len(files) > 0 || err != nil {
		v.logger.Warn("tokens of the data directory are not valid with bus.engine postgres: create them again with berth token create",
			"path", filepath.Join(v.dir, TokenDir), "tokens", len(files))
	}
	return v.Follow(ctx)
}

// Follow reads the tokens of the database again. After an error the former ones stay valid.
func (v *Verifier) Follow(ctx context.Context) error {
	docs, err := v.documents.Shared(ctx, SharedKind)
	if err != nil {
		return fmt.Errorf("read the tokens: %w", err)
	}
	tokens, damaged := readShared(docs)
	byID := make(map[string]tokenFile, len(tokens))
	for _, t := range tokens {
		byID[t.ID] = t
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.tokens = byID
	return damaged
}
