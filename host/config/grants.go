package config

import (
	"cmp"
	"slices"

	"github.com/berth-host/berth/host/config/document"
	"github.com/berth-host/berth/host/spec"
)

// A grant without a list that its capability needs would either give nothing or give
// everything; it is refused instead.
type capability struct {
	list   string // the key of the list that a grant may have, "" for none
	needed bool   // the list must be there and not empty
}

func capabilities() map[string]capability {
	return map[string]capability{
		"emit":   {list: "event_types"},
		"http":   {list: "hosts", needed: true},
		"kv":     {},
		"secret": {list: "names", needed: true},
	}
}

// grantsKind is a list of grants, or a mapping of them by name:
//
//	grants: [kv, {name: http, hosts: [api.example.com]}]
//	grants: {kv: {}, http: {hosts: [api.example.com]}}
func grantsKind() kind[[]spec.Grant] {
	text := func(grants []spec.Grant) string {
		if grants == nil {
			return "[]"
		}
		return jsonText(grants)
	}
	return kind[[]spec.Grant]{readGrants, text, func() about {
		return about{label: "list of capabilities", schema: object{"type": []string{"array", "object"}},
			parts: grantTable(new(spec.Grant)).fields}
	}}
}

func readGrants(v document.Value) []spec.Grant {
	var grants []spec.Grant
	add := func(v document.Value, name string) {
		before := v.Problems()
		g := readGrant(v, name)
		switch {
		case v.Problems() > before:
		case slices.ContainsFunc(grants, func(other spec.Grant) bool { return other.Name == g.Name }):
			v.Fail("%s is granted twice; put both lists into one grant", g.Name)
		default:
			grants = append(grants, g)
		}
	}
	switch v.Tag() {
	case "!!map":
		for _, e := range v.Entries() {
			add(e.Value, e.Key)
		}
	case "!!seq":
		for _, item := range v.Items() {
			if item.Tag() == "!!map" {
				add(item, "")
			} else if name := item.Text(); name != "" {
				add(item.Null(), name)
			}
		}
	default:
		v.Fail("must be a list of capabilities, such as [kv, {name: http, hosts: [api.example.com]}], not %s", v.Kind())
	}
	slices.SortFunc(grants, func(a, b spec.Grant) int { return cmp.Compare(a.Name, b.Name) })
	return grants
}

func grantTable(g *spec.Grant) table {
	return table{fields: []field{
		setting("hosts", listKind("hosts", 1000, parseHost), &g.Hosts, "Of http: `host`, `host:port` or `*.domain`."),
		setting("event_types", listKind("globs", 1000, parseGlob), &g.EventTypes, "Of emit."),
		setting("names", listKind("names of secrets", 1000, parseSecret), &g.Names, "Of secret."),
	}}
}

// readGrant reads one grant. An empty name means that it is one of the keys.
func readGrant(v document.Value, name string) spec.Grant {
	before := v.Problems()
	g := spec.Grant{Name: name}
	t := grantTable(&g)
	if name == "" {
		t.fields = append(t.fields, setting("name", textKind("name", anyText), &g.Name, ""))
	}
	keys := t.read(v)
	all := capabilities()
	c, known := all[g.Name]
	switch {
	case v.Problems() > before:
		return g
	case g.Name == "":
		v.Fail("needs a name: emit, http, kv or secret")
	case !known:
		v.Fail("unknown capability %s; the nearest known one is %s", document.Quote(g.Name), document.Nearest(g.Name, sortedKeys(all)))
	case c.needed && len(g.List()) == 0:
		v.Fail("%s needs %s, a list of what it may use", g.Name, c.list)
	}
	for _, f := range t.fields {
		if _, found := keys[f.path]; found && known && f.path != "name" && f.path != c.list {
			v.Fail("%s does not take %s", g.Name, f.path)
		}
	}
	return g
}
