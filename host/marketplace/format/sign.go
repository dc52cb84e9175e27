package format

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"aead.dev/minisign"
)

// Key is a minisign public key.
type Key struct {
	key minisign.PublicKey
}

// ParseKey parses a public key: the line that begins with RW, with or without the comment
// above it in a .pub file.
func ParseKey(text string) (Key, error) {
	text = strings.TrimSpace(text)
	if comment, line, ok := strings.Cut(text, "\n"); ok && strings.HasPrefix(comment, "untrusted comment: ") {
		text = line
	}
	var k Key
	if err := k.key.UnmarshalText([]byte(text)); err != nil || k.key.String() != text {
		return Key{}, Refuse(BadKey, "%s is not a minisign public key; copy the line of the .pub file that starts with RW", quoted(text))
	}
	return k, nil
}

// String returns the key in base64.
func (k Key) String() string { return k.key.String() }

// ID returns the key's number as minisign prints it: 16 hexadecimal digits.
func (k Key) ID() string { return keyID(k.key.ID()) }

func keyID(id uint64) string { return fmt.Sprintf("%016X", id) }

// The lengths of a signature's two lines of base64.
const (
	sigLine     = 100 // algorithm, key id, signature: 74 bytes
	commentLine = 88  // signature of the comment: 64 bytes
)

// Verify verifies the signature of a file and returns the key that made it. A nil
// signature is a missing one; one without bytes is another refusal. Only minisign's
// prehashed algorithm is accepted, and only in its exact form: one content has one
// signature file per key and comment.
func Verify(path string, content, signature []byte, keys []Key) (Key, error) {
	sig := path + SigSuffix
	if len(keys) == 0 {
		return Key{}, Refuse(NoKey, "%s: no key is trusted to sign it", path)
	}
	switch {
	case signature == nil:
		return Key{}, Refuse(NoSignature, "%s: is not signed: there is no %s", path, sig)
	case len(signature) == 0:
		return Key{}, Refuse(EmptySignature, "%s: is empty", sig)
	case len(signature) > MaxSignature:
		return Key{}, Refuse(TooLarge, "%s: is over the limit of %d bytes", sig, MaxSignature)
	}
	raw, err := dissect(sig, string(signature))
	if err != nil {
		return Key{}, err
	}
	switch string(raw[:2]) {
	case "ED":
	case "Ed":
		return Key{}, Refuse(NotPrehashed, "%s: is of minisign's legacy algorithm: sign again, prehashed (minisign -H)", sig)
	default:
		return Key{}, Refuse(MalformedSignature, "%s: is of an unknown algorithm", sig)
	}
	id := binary.LittleEndian.Uint64(raw[2:10])
	known := false
	for _, k := range keys {
		if k.key.ID() != id {
			continue
		}
		known = true
		if minisign.Verify(k.key, content, signature) {
			return k, nil
		}
	}
	if known {
		return Key{}, Refuse(BadSignature, "%s: does not fit: %s is not what was signed", sig, path)
	}
	return Key{}, Refuse(WrongKey, "%s: was made by the key %s, which is not trusted here", sig, keyID(id))
}

// dissect checks the form of a signature, and returns its first part: algorithm (2
// bytes), key id (8, little-endian), signature.
func dissect(sig, text string) ([]byte, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i, prefix := range []string{"untrusted comment: ", "", "trusted comment: ", ""} {
		if i < len(lines) && !strings.HasPrefix(lines[i], prefix) {
			if strings.HasPrefix(prefix, lines[i]) && i == len(lines)-1 {
				return nil, truncated(sig)
			}
			return nil, Refuse(MalformedSignature, "%s: line %d does not begin with %q", sig, i+1, prefix)
		}
	}
	if len(lines) > 4 {
		return nil, Refuse(TrailingBytes, "%s: goes on after its four lines", sig)
	}
	var raw []byte
	for _, part := range []struct{ line, length int }{{1, sigLine}, {3, commentLine}} {
		switch {
		case part.line >= len(lines) || len(lines[part.line]) < part.length:
			return nil, truncated(sig)
		case len(lines[part.line]) > part.length:
			return nil, Refuse(TrailingBytes, "%s: line %d goes on after its %d characters", sig, part.line+1, part.length)
		}
		b, err := base64.StdEncoding.Strict().DecodeString(lines[part.line])
		if err != nil {
			return nil, Refuse(MalformedSignature, "%s: line %d is not base64", sig, part.line+1)
		}
		if raw == nil {
			raw = b
		}
	}
	return raw, nil
}

func truncated(sig string) error { return Refuse(TruncatedSignature, "%s: is cut off", sig) }

// Signer is a minisign secret key.
type Signer struct {
	key minisign.PrivateKey
}

// Key returns the public key.
func (s Signer) Key() Key { return Key{s.key.Public().(minisign.PublicKey)} }

// Sign signs a content, prehashed, together with the comment.
func (s Signer) Sign(content []byte, comment string) []byte {
	r := minisign.NewReader(bytes.NewReader(content))
	_, _ = io.Copy(io.Discard, r) // neither end can fail
	return r.SignWithComments(s.key, comment, "signature from minisign secret key "+s.Key().ID())
}

// NewSigner generates a key.
func NewSigner() (Signer, error) {
	_, key, err := minisign.GenerateKey(nil)
	return Signer{key}, err
}

// ParseSigner parses a secret key's file. It calls passphrase if the file is encrypted.
func ParseSigner(text []byte, passphrase func() (string, error)) (Signer, error) {
	var s Signer
	if len(text) > 4096 {
		return Signer{}, Refuse(BadKey, "%d bytes are not a minisign secret key", len(text))
	}
	if !minisign.IsEncrypted(text) {
		if err := s.key.UnmarshalText(text); err != nil {
			return Signer{}, Refuse(BadKey, "not a minisign secret key: %v", err)
		}
		return s, nil
	}
	phrase, err := passphrase()
	if err != nil {
		return Signer{}, err
	}
	if s.key, err = minisign.DecryptKey(phrase, text); err != nil {
		return Signer{}, Refuse(BadKey, "the passphrase does not open the secret key")
	}
	return s, nil
}

// Encode encodes the secret key's file, encrypted with the passphrase unless that is
// empty. Encrypting takes 1 GiB of memory for several seconds, by minisign's design.
func (s Signer) Encode(passphrase string) ([]byte, error) {
	text, err := s.key.MarshalText()
	if passphrase != "" {
		text, err = minisign.EncryptKey(passphrase, s.key)
	}
	if err != nil {
		return nil, err
	}
	return append(bytes.TrimSpace(text), '\n'), nil
}

// File encodes the public key's file.
func (k Key) File() []byte {
	return fmt.Appendf(nil, "untrusted comment: minisign public key %s\n%s\n", k.ID(), k)
}
