package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"

	"github.com/berth-host/berth/host/config/document"
)

var (
	schemaPattern   = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,30}$`)
	variablePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
	memberPattern   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
)

// clusterTable is the settings of a host among those that share a database.
func clusterTable(c *Cluster) table {
	return table{fields: []field{
		setting("name", textKind("name", parseMember), &c.Name,
			"The name of this host among those that share the database of `bus.postgres`, different on each; by default the name of the machine.",
		).atStart().unset(`""`),
		setting("url", textKind("URL", parseMemberURL), &c.URL,
			"The URL of this host's API as the other hosts and `berth cluster status` show it, such as `https://berth-1.example.com:8080`; by "+
				"default the address it listens on, or, for one that listens on every address, the name of the machine.",
		).atStart().unset(`""`),
		setting("settings", wordKind(SettingsDatabase, SettingsFile), &c.Settings,
			"Where enabling, pausing, approving and configuring through the API go with the engine postgres: to the database, for all hosts, "+
				"where they count more than the file, until `berth config adopt`; or nowhere: they get 409, and the files decide.").atStart(),
	}}
}

// passwordKind is a mapping with one key, which names where a password is.
func passwordKind() kind[Password] {
	read := func(v document.Value) (p Password) {
		if v.Tag() != "!!map" {
			v.Fail("must be {secret: NAME}, {file: PATH} or {env: NAME}: the configuration never holds a password")
			return p
		}
		keys := passwordTable(&p).read(v)
		if len(keys) != 1 {
			v.Fail("needs one of secret, file and env")
		}
		return p
	}
	return kind[Password]{read, jsonText[Password], func() about {
		bounds := object{}
		for _, f := range passwordTable(new(Password)).fields {
			bounds[f.path] = object{"type": "string"}
		}
		return about{label: "{secret: name}, {file: path} or {env: name}", schema: object{"type": "object", "additionalProperties": false,
			"minProperties": 1, "maxProperties": 1, "properties": bounds}}
	}}
}

func passwordTable(p *Password) table {
	return table{fields: []field{
		setting("secret", textKind("name of a secret", parseSecret), &p.Secret, "A secret of the host."),
		setting("file", textKind("path", anyText), &p.File, "A file that holds the password."),
		setting("env", textKind("variable", parseVariable), &p.Env, "A variable of the environment."),
	}}
}

func parseSchema(s string) (string, error) {
	reserved := []string{"public", "information_schema"}
	return valid(s, schemaPattern.MatchString(s) && !slices.Contains(reserved, s) && (len(s) < 3 || s[:3] != "pg_"),
		"is not a schema for Berth: it may hold a-z 0-9 and _, is at most 31 long, and is neither public nor one of the server's")
}

func parseVariable(s string) (string, error) {
	return valid(s, variablePattern.MatchString(s), "is not the name of an environment variable")
}

func parseMember(s string) (string, error) {
	return valid(s, memberPattern.MatchString(s), "is not a name for a host: it may hold letters, digits and . _ - inside, and is at most 63 long")
}

func parseMemberURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || s != u.Scheme+"://"+u.Host {
		return s, errors.New("must be as https://berth-1.example.com:8080: a scheme, a name or address, a port, and nothing else")
	}
	return s, nil
}

// HostName returns the name of the host among those that share its database; "" for one that runs
// alone.
func (c *Config) HostName() string {
	if c.Bus.Engine != EnginePostgres {
		return ""
	}
	machine, _ := os.Hostname() // a host does not start on a machine without one
	return cmp.Or(c.Cluster.Name, machine)
}

// Fingerprint is a SHA-256 in hex of the settings that all hosts of a cluster should share.
func (c *Config) Fingerprint() string {
	states := configTable(c).states()
	// Of these, each host may have its own without harm.
	own := []string{"bus.postgres.max_connections", "bus.postgres.password", "bus.postgres.url", "cluster.name", "cluster.url", "data_dir",
		"defaults.memory_total", "plugin_directories", "server.listen", "server.max_inflight_bytes", "server.tls", "vet.cpu", "vet.memory",
		"vet.wall"}
	h := sha256.New()
	for _, path := range sortedKeys(states) {
		if s := states[path]; s.text != "" && !slices.Contains(own, path) {
			fmt.Fprintf(h, "%q %q\n", path, s.text)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
