// Package keyvalue has the endpoints for the key-value state of plugins: operators list, read,
// write and delete entries. Keys and values are bytes that guests choose.
package keyvalue

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/api/describe"
	"github.com/berth-host/berth/host/api/etag"
	"github.com/berth-host/berth/host/api/ports"
	"github.com/berth-host/berth/host/api/problem"
	"github.com/berth-host/berth/host/api/resource"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

const (
	listPath  = "/api/v1/events/plugins/:name/kv"
	entryPath = listPath + "/:key"
)

// maxExpiry is the longest time to a limit, as for guests (kv_expire).
const maxExpiry = math.MaxInt32 * time.Second

// Endpoints lists the endpoints. known reports whether a plugin of a name is present or
// configured; the state of others can be read and deleted while there is any.
func Endpoints(state ports.KeyValues, known func(name string) bool) []resource.Endpoint {
	e := endpoints{state, known}
	return []resource.Endpoint{
		{Method: http.MethodGet, Path: listPath, Scope: spec.ScopeRead, Handle: e.list},
		{Method: http.MethodGet, Path: entryPath, Scope: spec.ScopeRead, Handle: e.show},
		{Method: http.MethodPut, Path: entryPath, Scope: spec.ScopeOperate, Handle: e.put},
		{Method: http.MethodDelete, Path: entryPath, Scope: spec.ScopeOperate, Handle: e.remove},
	}
}

type endpoints struct {
	state ports.KeyValues
	known func(name string) bool
}

// list is GET /api/v1/events/plugins/:name/kv?prefix&limit&cursor.
func (e endpoints) list(r resource.Request) (resource.Answer, error) {
	q := r.Query("prefix", "limit", "cursor")
	plugin, prefix, limit := r.Param("name"), q.Get("prefix"), r.Limit(q, describe.MaxPage)
	after, err := base64.RawURLEncoding.DecodeString(q.Get("cursor"))
	if err != nil || len(after) > abi.MaxKVKey {
		r.Fail(fault.Field("cursor", "is not one of this list: take next of the page before"))
	}
	if len(prefix) > abi.MaxKVKey {
		r.Fail(fault.Field("prefix", "is %d bytes; a key has at most %d", len(prefix), abi.MaxKVKey))
	}
	if r.Err() != nil {
		return resource.Answer{}, r.Err()
	}
	used, quota, err := e.usage(r, plugin)
	if err != nil {
		return resource.Answer{}, err
	}
	keys, err := e.state.KVList(r.Ctx(), plugin, prefix, string(after), limit)
	if err != nil {
		return resource.Answer{}, err
	}
	page := wire.KVList{Items: make([]wire.KVKey, len(keys)), Used: used, Quota: quota}
	for i, item := range keys {
		page.Items[i] = key(item)
	}
	if len(keys) > 0 {
		last := keys[len(keys)-1].Key
		more, err := e.state.KVList(r.Ctx(), plugin, prefix, last, 1)
		if err != nil {
			return resource.Answer{}, err
		}
		if len(more) > 0 {
			page.Next = new(base64.RawURLEncoding.EncodeToString([]byte(last)))
		}
	}
	return resource.Answer{Body: page}, nil
}

// usage returns the size and the quota of a plugin's state; fault.NotFound for a plugin that
// is neither known nor has any.
func (e endpoints) usage(r resource.Request, plugin string) (used, quota int64, err error) {
	used, quota, err = e.state.KVUsage(r.Ctx(), plugin)
	if err == nil && used == 0 && !e.known(plugin) {
		err = unknown(plugin)
	}
	return used, quota, err
}

func unknown(plugin string) error {
	return fault.New(fault.NotFound, "there is no plugin %s, and no state of one", problem.Short(plugin))
}

// entry is what a request about one entry names.
type entry struct{ plugin, key string }

// read reads the path: the key is percent-encoded or, with key_encoding=base64, encoded as
// base64url without padding.
func (e endpoints) read(r resource.Request) (at entry) {
	q := r.Query("key_encoding")
	at = entry{plugin: r.Param("name"), key: r.Param("key")}
	switch encoding := q.Get("key_encoding"); encoding {
	case "":
	case "base64":
		bytes, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(at.key, "="))
		if err != nil {
			r.Fail(fault.Field("key", "is not base64url, which key_encoding says"))
		}
		at.key = string(bytes)
	default:
		r.Fail(fault.Field("key_encoding", "is %q; it must be base64, or absent for percent-encoding", problem.Short(encoding)))
	}
	r.Fail(spec.CheckKV(at.key, nil))
	return at
}

func missing(at entry) error {
	return fault.New(fault.NotFound, "%s has no key %s", problem.Short(at.plugin), problem.Short(strconv.Quote(at.key)))
}

// find returns the present value of an entry with its limit; fault.NotFound.
func (e endpoints) find(r resource.Request, at entry) ([]byte, spec.KVItem, error) {
	value, found, err := e.state.KVGet(r.Ctx(), at.plugin, at.key)
	if err != nil {
		return nil, spec.KVItem{}, err
	}
	if value == nil {
		value = []byte{} // nil is an absent value for a compare-and-set
	}
	if !found {
		if _, _, err := e.usage(r, at.plugin); err != nil {
			return nil, spec.KVItem{}, err
		}
		return nil, spec.KVItem{}, missing(at)
	}
	item := spec.KVItem{Key: at.key, Size: len(value)}
	// The key itself sorts first among those that begin with it.
	list, err := e.state.KVList(r.Ctx(), at.plugin, at.key, "", 1)
	if err != nil {
		return nil, item, err
	}
	if len(list) > 0 && list[0].Key == at.key {
		item.Until = list[0].Until
	}
	return value, item, nil
}

// show is GET /api/v1/events/plugins/:name/kv/:key?key_encoding.
func (e endpoints) show(r resource.Request) (resource.Answer, error) {
	at := e.read(r)
	r.ReserveAnswer(resource.PageBytes) // a value in JSON may be six times as large
	if r.Err() != nil {
		return resource.Answer{}, r.Err()
	}
	value, item, err := e.find(r, at)
	if err != nil {
		return resource.Answer{}, err
	}
	answer := wire.KVValue{KVKey: key(item), ETag: tag(value)}
	answer.Text, answer.Base64 = texts(value)
	return resource.Answer{Body: answer, ETag: answer.ETag}, nil
}

// put is PUT /api/v1/events/plugins/:name/kv/:key?key_encoding.
func (e endpoints) put(r resource.Request) (resource.Answer, error) {
	at := e.read(r)
	match, noneMatch := r.Conditions()
	in := resource.Read[wire.NewKVValue](r)
	value := content(r, in)
	until := limit(r, in.ExpiresIn)
	if noneMatch.Given && (!noneMatch.Any || match.Given) {
		r.Fail(fault.Field("If-None-Match", "must be *, without If-Match: the entry is written only if it is absent"))
	}
	r.Fail(spec.CheckKV(at.key, value))
	if r.Err() != nil {
		return resource.Answer{}, r.Err()
	}
	if !e.known(at.plugin) {
		return resource.Answer{}, fault.New(fault.NotFound, "there is no plugin %s: values can only be written for one that is present or configured",
			problem.Short(at.plugin))
	}
	c := spec.KVChange{Key: at.key, Value: value, Until: until}
	var err error
	switch {
	case match.Given:
		var former spec.KVItem
		if former, err = e.replace(r, at, c, match); c.Until.IsZero() {
			c.Until = former.Until
		}
	case noneMatch.Given:
		c.Compare = true
		if err = e.state.KVChange(r.Ctx(), at.plugin, c); fault.CodeOf(err) == fault.Conflict {
			err = changed("the key is there already", "If-None-Match")
		}
	default:
		err = e.state.KVChange(r.Ctx(), at.plugin, c)
	}
	if err != nil {
		return resource.Answer{}, err
	}
	item := spec.KVItem{Key: at.key, Size: len(value), Until: c.Until}
	stored := wire.KVStored{KVKey: key(item), ETag: tag(value)}
	return resource.Answer{Body: stored, ETag: stored.ETag, Noted: noted{Key: shown(at.key), Size: new(len(value)), ExpiresAt: stored.ExpiresAt}}, nil
}

// replace makes a change if the present value has a tag that matches. It returns the entry before.
func (e endpoints) replace(r resource.Request, at entry, c spec.KVChange, match etag.Tags) (spec.KVItem, error) {
	for {
		present, item, err := e.find(r, at)
		if fault.CodeOf(err) == fault.NotFound {
			return item, changed("the key is not there", "If-Match")
		}
		if err != nil {
			return item, err
		}
		if now := tag(present); !match.Any && !match.Match(now) {
			return item, changed("the value has changed since: its ETag is \""+now+"\" now; read it again, and repeat your change", "If-Match")
		}
		c.Compare, c.Old = true, present
		if err = e.state.KVChange(r.Ctx(), at.plugin, c); fault.CodeOf(err) != fault.Conflict {
			return item, err
		}
		if err := r.Ctx().Err(); err != nil { // a guest writes the key without end
			return item, err
		}
	}
}

func changed(reason, field string) error {
	return &fault.Error{Code: fault.Precondition, Field: field, Reason: reason}
}

// remove is DELETE /api/v1/events/plugins/:name/kv/:key?key_encoding.
func (e endpoints) remove(r resource.Request) (resource.Answer, error) {
	at := e.read(r)
	match, noneMatch := r.Conditions()
	if noneMatch.Given {
		r.Fail(fault.Field("If-None-Match", "cannot be used here; If-Match compares the value"))
	}
	if r.Err() != nil {
		return resource.Answer{}, r.Err()
	}
	var item spec.KVItem
	var err error
	if match.Given {
		item, err = e.replace(r, at, spec.KVChange{Key: at.key}, match)
	} else if _, item, err = e.find(r, at); err == nil {
		err = e.state.KVChange(r.Ctx(), at.plugin, spec.KVChange{Key: at.key})
	}
	if err != nil {
		return resource.Answer{}, err
	}
	return resource.Answer{Status: http.StatusNoContent, Noted: noted{Key: shown(at.key), Size: new(item.Size), Deleted: true}}, nil
}

// noted is what the audit log has of a change: values may be secret.
type noted struct {
	Key       string     `json:"key"` // quoted if it is not plain text
	Size      *int       `json:"size"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	Deleted   bool       `json:"deleted,omitempty"`
}

func shown(key string) string {
	if quoted := strconv.Quote(key); quoted != `"`+key+`"` {
		return quoted
	}
	return key
}

// content returns the value of a body.
func content(r resource.Request, in wire.NewKVValue) []byte {
	given := 0
	var value []byte
	if in.Value != nil {
		given, value = given+1, slices.Clone(in.Value)
	}
	if in.Text != nil {
		given, value = given+1, []byte(*in.Text)
	}
	if in.Base64 != nil {
		given++
		var err error
		if value, err = base64.StdEncoding.DecodeString(*in.Base64); err != nil {
			r.Fail(fault.Field("value_base64", "is not base64 (RFC 4648, section 4, with padding)"))
		}
	}
	if given != 1 {
		r.Fail(fault.Field("value", "exactly one of value, value_text and value_base64 is required"))
	}
	if value == nil {
		value = []byte{} // nil is an absent value for a compare-and-set
	}
	return value
}

// limit returns when a value that is written now disappears; zero for never.
func limit(r resource.Request, text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		r.Fail(fault.Field("expires_in", "is %q; it must be a duration, such as 15m or 24h", problem.Short(text)))
	case d < time.Second || d > maxExpiry:
		r.Fail(fault.Field("expires_in", "is %v; it must be 1s to %v", d, maxExpiry))
	}
	return time.Now().Add(d)
}

// key returns an entry without its value.
func key(item spec.KVItem) (k wire.KVKey) {
	k.Key, k.KeyBase64 = texts([]byte(item.Key))
	k.Size = item.Size
	if !item.Until.IsZero() {
		k.ExpiresAt = new(item.Until.UTC())
	}
	return k
}

// texts returns bytes as text or, if they are not UTF-8, in base64.
func texts(b []byte) (text, encoded *string) {
	if utf8.Valid(b) {
		return new(string(b)), nil
	}
	return nil, new(base64.StdEncoding.EncodeToString(b))
}

// tag returns the entity tag of a value.
func tag(value []byte) string {
	sum := sha256.Sum256(value)
	return hex.EncodeToString(sum[:12])
}
