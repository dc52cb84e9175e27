package abi_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/abi"
)

const fullManifest = `{"name": "fraud-check", "version": "1.2.0", "description": "Scores orders", "license": "MIT", "homepage": "https://example.com",
 "subscribes": [{"event_type": "order_*", "when": "data.total_cents > 10000"}, {"event_type": "*"}],
 "capabilities": [{"name": "http", "hosts": ["api.example.com", "[2001:db8::1]:8443"], "reason": "scores the order", "required": true},
  {"name": "emit", "event_types": ["fraud_*"]}, {"name": "kv"}, {"name": "secret", "names": ["fraud/api-key"]}],
 "config_schema": {"type": "object", "x": [null, {}]},
 "limits": {"timeout": "2s", "memory": "32MiB", "concurrency": 4},
 "retry": {"max_attempts": 5, "backoff": "200ms", "max_backoff": "1m"},
 "order_by": "/metadata/subject",
 "extism": {"entry": "count_vowels"}}`

func TestParseManifest(t *testing.T) {
	want := abi.Manifest{
		Name: "fraud-check", Version: "1.2.0", Description: "Scores orders", License: "MIT", Homepage: "https://example.com",
		Subscribes: []abi.Subscription{{EventType: "order_*", When: "data.total_cents > 10000"}, {EventType: "*"}},
		Capabilities: []abi.Capability{
			{Name: "http", Hosts: []string{"api.example.com", "[2001:db8::1]:8443"}, Reason: "scores the order", Required: true},
			{Name: "emit", EventTypes: []string{"fraud_*"}},
			{Name: "kv"},
			{Name: "secret", Names: []string{"fraud/api-key"}},
		},
		ConfigSchema: json.RawMessage(`{"type": "object", "x": [null, {}]}`),
		Limits:       abi.Limits{Timeout: abi.Duration(2 * time.Second), Memory: 32 * abi.MiB, Concurrency: 4},
		Retry:        abi.Retry{MaxAttempts: 5, Backoff: abi.Duration(200 * time.Millisecond), MaxBackoff: abi.Duration(time.Minute)},
		OrderBy:      "/metadata/subject",
		Extism:       abi.Extism{Entry: "count_vowels"},
	}
	got, err := abi.ParseManifest([]byte(fullManifest))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for _, text := range []string{`{}`, " {\n} \n", `{"subscribes":[]}`, `{"config_schema":true}`, `{"retry":{"backoff":"1s"}}`, `{"extism":{}}`} {
		if _, err := abi.ParseManifest([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	if m, _ := abi.ParseManifest([]byte(`{"subscribes":[]}`)); m.Subscribes == nil {
		t.Error("an empty list of subscriptions reads as an absent one")
	}
}

func TestParseManifestErrors(t *testing.T) {
	tests := []struct{ text, want string }{
		{``, "the text is empty"},
		{`{`, "malformed JSON: it ends at byte 1, line 1"},
		{"{\n\"name\": 'x'}", `line 2: invalid character '\''`},
		{`{} {}`, "unexpected data after the JSON value"},
		{`{"name":"a",}`, "line 1: invalid character '}'"},
		{"{\"name\":\"a\xff\"}", "is not valid UTF-8"},
		{`null`, "must be an object"},
		{`[]`, "must be an object"},
		{`"a"`, "must be an object"},
		{`{"nmae":"a"}`, "nmae: unknown key: the known ones are name, version, "},
		{`{"Name":"a"}`, "Name: unknown key"},
		{`{"$schema":"x"}`, "$schema: unknown key"},
		{`{"limits":{"cpu":1}}`, "limits.cpu: unknown key: the known ones are timeout, memory, stack, concurrency"},
		{`{"subscribes":[{"event_type":"a"},{"event_type":"b","filter":"x"}]}`, "subscribes[1].filter: unknown key"},
		{`{"capabilities":[{"name":"kv","host":[]}]}`, "capabilities[0].host: unknown key"},
		{`{"name":"a","name":"b"}`, "name: duplicate key"},
		{`{"name":"a","n\u0061me":"b"}`, "name: duplicate key"},
		{`{"capabilities":[{"name":"kv","name":"emit"}]}`, "capabilities[0].name: duplicate key"},
		{`{"name":null}`, "name: must be a string"},
		{`{"name":7}`, "name: must be a string"},
		{`{"name":""}`, "name: must not be empty"},
		{`{"name":"-a"}`, `name: "-a" must be 1 to 63 of`},
		{`{"name":"verify"}`, `name: "verify" is a word of the host's API`},
		{`{"name":"A"}`, `name: "A" must be`},
		{`{"name":"../x"}`, `name: "../x" must be`},
		{`{"name":"` + strings.Repeat("a", 64) + `"}`, "must be 1 to 63 of"},
		{`{"version":"1.2"}`, `version: "1.2" is not a semantic version`},
		{`{"description":"a\u001b[2J"}`, `description: '\x1b' is an invisible character`},
		{`{"capabilities":[{"name":"kv","reason":"\u202etxet"}]}`, `capabilities[0].reason: '\u202e' is an invisible character`},
		{`{"homepage":"javascript:alert(1)"}`, `homepage: "javascript:alert(1)" does not begin with https://`},
		{`{"subscribes":{}}`, "subscribes: must be an array"},
		{`{"subscribes":["order_*"]}`, "subscribes[0]: must be an object"},
		{`{"subscribes":[{"when":"true"}]}`, `subscribes[0].event_type: "" is not an event type`},
		{`{"subscribes":[{"event_type":"a b"}]}`, `subscribes[0].event_type: "a b" is not an event type`},
		{`{"capabilities":[{"name":"log"}]}`, `capabilities[0].name: "log" is not a capability`},
		{`{"capabilities":[{"reason":"x"}]}`, `capabilities[0].name: "" is not a capability`},
		{`{"capabilities":[{"name":"kv"},{"name":"kv"}]}`, `capabilities[1].name: "kv" is requested twice`},
		{`{"capabilities":[{"name":"kv","hosts":[]}]}`, "capabilities[0].hosts: belongs to http, not to kv"},
		{`{"capabilities":[{"name":"http"}]}`, "capabilities[0].hosts: http needs at least one"},
		{`{"capabilities":[{"name":"http","hosts":[]}]}`, "capabilities[0].hosts: http needs at least one"},
		{`{"capabilities":[{"name":"http","hosts":["https://a.example"]}]}`, `capabilities[0].hosts[0]: "https://a.example" is not a host`},
		{`{"capabilities":[{"name":"http","hosts":["a.example",1]}]}`, "capabilities[0].hosts[1]: must be a string"},
		{`{"capabilities":[{"name":"emit","event_types":["a","?"]}]}`, `capabilities[0].event_types[1]: "?" is not`},
		{`{"capabilities":[{"name":"secret","names":["a b"]}]}`, `capabilities[0].names[0]: "a b" is not a secret's name`},
		{`{"capabilities":[{"name":"kv","required":"yes"}]}`, "capabilities[0].required: must be true or false"},
		{`{"config_schema":null}`, "config_schema: must be a JSON Schema"},
		{`{"config_schema":{"type":"object","type":"string"}}`, "config_schema.type: duplicate key"},
		{`{"config_schema":{"properties":{"a":{"enum":[{"b":1,"\u0062":2}]}}}}`, "config_schema.properties.a.enum[0].b: duplicate key"},
		{`{"config_schema":[]}`, "config_schema: must be a JSON Schema"},
		{`{"limits":{"timeout":2}}`, `limits.timeout: must be a duration in quotes, like "2s"`},
		{`{"limits":{"timeout":"2"}}`, `limits.timeout: "2" is not a duration: write a number and a unit`},
		{`{"limits":{"timeout":"0s"}}`, `limits.timeout: "0s" is not a duration above zero`},
		{`{"limits":{"timeout":"-1s"}}`, "above zero"},
		{`{"limits":{"memory":33554432}}`, `limits.memory: must be a size in quotes, like "32MiB"`},
		{`{"limits":{"memory":"32MB"}}`, `limits.memory: "32MB" has no unit of size: the units are B, KiB, MiB and GiB`},
		{`{"limits":{"memory":"1KiB"}}`, "limits.memory: 1KiB is not from 64KiB"},
		{`{"limits":{"memory":"4GiB"}}`, "limits.memory: 4GiB is not from 64KiB"},
		{`{"limits":{"stack":"65535B"}}`, "limits.stack: 65535B is not from 64KiB to 32MiB"},
		{`{"limits":{"stack":"32769KiB"}}`, "limits.stack: 32769KiB is not from 64KiB to 32MiB"},
		{`{"limits":{"concurrency":0}}`, "limits.concurrency: must not be 0"},
		{`{"limits":{"concurrency":1.5}}`, "limits.concurrency: must be a whole number, not 1.5"},
		{`{"limits":{"concurrency":1025}}`, "limits.concurrency: 1025 is not from 1 to 1024"},
		{`{"limits":{"concurrency":"4"}}`, "limits.concurrency: must be a whole number, not a string"},
		{`{"retry":{"max_attempts":101}}`, "retry.max_attempts: 101 is not from 1 to 100"},
		{`{"retry":{"backoff":"2m","max_backoff":"1m"}}`, "retry.max_backoff: 1m0s is below backoff, 2m0s"},
		{`{"order_by":"metadata/subject"}`, `order_by: "metadata/subject" is not a JSON Pointer`},
		{`{"order_by":"/a~"}`, "is not a JSON Pointer"},
		{`{"extism":"handle"}`, "extism: must be an object"},
		{`{"extism":{"entry":""}}`, "extism.entry: must not be empty"},
		{`{"extism":{"entry":null}}`, "extism.entry: must be a string"},
		{`{"extism":{"function":"f"}}`, "extism.function: unknown key: the known ones are entry"},
		{`{"extism":{"entry":"a b"}}`, `extism.entry: "a b" is not the name of an export`},
		{`{"extism":{"entry":"\u202e"}}`, "is not the name of an export"},
		{`{"extism":{"entry":"` + strings.Repeat("a", 129) + `"}}`, "extism.entry: 129 bytes are over the limit of 128"},
		{`{"description":"` + strings.Repeat("x", abi.MaxManifest) + `"}`, "65554 bytes are over the limit of 65536"},
		{strings.Repeat("[", 20_000), "exceeded max depth"},
	}
	for _, tt := range tests {
		_, err := abi.ParseManifest([]byte(tt.text))
		if err == nil {
			t.Errorf("%.80s: no error", tt.text)
			continue
		}
		if got := err.Error(); !strings.HasPrefix(got, "manifest: ") || !strings.Contains(got, tt.want) {
			t.Errorf("%.80s:\n got %s\nwant %s", tt.text, got, tt.want)
		}
	}
}

// TestExampleManifests reads the manifests of the example handlers.
func TestExampleManifests(t *testing.T) {
	files, err := filepath.Glob("../plugins-src/*/manifest.json")
	if err != nil || len(files) < 2 {
		t.Fatalf("found %v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := abi.ParseManifest(text); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestManifestSchema compares the keys of the JSON Schema with those of the structs.
func TestManifestSchema(t *testing.T) {
	text, err := os.ReadFile("manifest.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	type schema struct {
		Properties map[string]*schema
		Items      *schema
		Additional *bool `json:"additionalProperties"`
	}
	var root schema
	// "hosts": false is below allOf only, which is not compared.
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	var compare func(path string, s *schema, typ reflect.Type)
	compare = func(path string, s *schema, typ reflect.Type) {
		if typ.Kind() == reflect.Slice && s != nil && s.Items != nil {
			s, typ, path = s.Items, typ.Elem(), path+"[]"
		}
		if typ.Kind() != reflect.Struct {
			return
		}
		if s == nil || s.Additional == nil || *s.Additional {
			t.Errorf("%s: the schema allows other keys", path)
			return
		}
		known := make(map[string]bool)
		for i := range typ.NumField() {
			key, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			known[key] = true
			if s.Properties[key] == nil {
				t.Errorf("%s: the schema lacks %q", path, key)
				continue
			}
			compare(path+"."+key, s.Properties[key], typ.Field(i).Type)
		}
		for key := range s.Properties {
			if !known[key] {
				t.Errorf("%s: the struct lacks %q", path, key)
			}
		}
	}
	compare("", &root, reflect.TypeFor[abi.Manifest]())
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(fullManifest))
	f.Add([]byte(`{"name":"a","limits":{"memory":"1GiB"},"retry":{"backoff":"1h"}}`))
	f.Add([]byte(`{"capabilities":[{"name":"http","hosts":["a:1","[::1]"]}],"config_schema":false}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := abi.ParseManifest(text)
		if err != nil {
			return
		}
		// An accepted manifest can be encoded, and reads the same.
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if len(again) > abi.MaxManifest {
			return // escapes made it longer
		}
		n, err := abi.ParseManifest(again)
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		m.ConfigSchema, n.ConfigSchema = nil, nil // written compactly
		if !reflect.DeepEqual(m, n) {
			t.Errorf("got %+v, then %+v", m, n)
		}
	})
}
