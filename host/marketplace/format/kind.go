package format

import (
	"fmt"

	"github.com/berth-host/berth/host/fault"
)

// Kind is the kind of a refusal. errors.Is finds it in an error: errors.Is(err,
// format.WrongKey).
type Kind string

// Error implements error.
func (k Kind) Error() string { return string(k) }

// The kinds. Their texts are the names in the test vectors.
const (
	TooLarge      Kind = "too_large"      // over a limit of the format
	Malformed     Kind = "malformed"      // not JSON, or not what the format says
	UnknownFormat Kind = "unknown_format" // of another version of the format
	BadPath       Kind = "bad_path"       // a path that could lead out of the tree
	BadName       Kind = "bad_name"       // of a plugin, a publisher or a marketplace
	BadVersion    Kind = "bad_version"    // not a semantic version
	BadKey        Kind = "bad_key"        // not a minisign public key

	NoSignature        Kind = "no_signature"        // there is no signature file
	EmptySignature     Kind = "empty_signature"     // it has no bytes
	TruncatedSignature Kind = "truncated_signature" // it ends too early
	MalformedSignature Kind = "malformed_signature" // it is not a minisign signature
	TrailingBytes      Kind = "trailing_bytes"      // it goes on after its end
	NotPrehashed       Kind = "not_prehashed"       // minisign's legacy algorithm
	WrongKey           Kind = "wrong_key"           // made by a key that is not trusted
	BadSignature       Kind = "bad_signature"       // it belongs to other content
	NoKey              Kind = "no_key"              // no key is trusted to sign

	Absent       Kind = "absent"        // a listed file is missing
	WrongDigest  Kind = "wrong_digest"  // the SHA-256 differs
	WrongSize    Kind = "wrong_size"    // shorter or longer than was signed
	Mismatch     Kind = "mismatch"      // two signed files contradict each other
	Expired      Kind = "expired"       // the root is past its time
	Older        Kind = "older"         // an older root than one seen before
	KeyConflict  Kind = "key_conflict"  // a publisher's pages name different keys
	Revoked      Kind = "revoked"       // the marketplace has revoked it
	TooNew       Kind = "too_new"       // younger than minimum_release_age
	WrongABI     Kind = "wrong_abi"     // for another ABI than berth_v1
	Ambiguous    Kind = "ambiguous"     // several publishers have a plugin of the name
	NoSuchPlugin Kind = "no_plugin"     // no publisher has one
	NoVersion    Kind = "no_version"    // none matches the request
	BadModule    Kind = "bad_module"    // not a module, or without a usable manifest
	Unlisted     Kind = "unlisted_file" // a file without a reference
)

// Refuse returns the error of a refusal: fault.Denied with the Kind in its chain.
func Refuse(kind Kind, text string, args ...any) error {
	return RefuseAs(fault.Denied, kind, text, args...)
}

// RefuseAs is Refuse with another code.
func RefuseAs(code fault.Code, kind Kind, text string, args ...any) error {
	return &fault.Error{Code: code, Reason: fmt.Sprintf(text, args...), Err: kind}
}
