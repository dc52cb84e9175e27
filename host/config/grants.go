package config

import (
	"cmp"
	"slices"

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
		return about{label: "list of capabilities", schema: object{"type": []string{"array", "object"}}, parts: grantTable(new(spec.Grant)).fields}
	}}
}

func readGrants(v value) []spec.Grant {
	var grants []spec.Grant
	add := func(v value, name string) {
		before := len(v.d.problems)
		g := readGrant(v, name)
		switch {
		case len(v.d.problems) > before:
		case slices.ContainsFunc(grants, func(other spec.Grant) bool { return other.Name == g.Name }):
			v.fail("%s is granted twice; put both lists into one grant", g.Name)
		default:
			grants = append(grants, g)
		}
	}
	switch v.tag() {
	case "!!map":
		for _, e := range v.entries() {
			add(e.value, e.key)
		}
	case "!!seq":
		for _, item := range v.items() {
			if item.tag() == "!!map" {
				add(item, "")
			} else if name := item.text(); name != "" {
				add(item.null(), name)
			}
		}
	default:
		v.fail("must be a list of capabilities, such as [kv, {name: http, hosts: [api.example.com]}], not %s", v.kind())
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
func readGrant(v value, name string) spec.Grant {
	before := len(v.d.problems)
	g := spec.Grant{Name: name}
	t := grantTable(&g)
	if name == "" {
		t.fields = append(t.fields, setting("name", textKind("name", anyText), &g.Name, ""))
	}
	keys := t.read(v)
	all := capabilities()
	c, known := all[g.Name]
	switch {
	case len(v.d.problems) > before:
		return g
	case g.Name == "":
		v.fail("needs a name: emit, http, kv or secret")
	case !known:
		v.fail("unknown capability %s; the nearest known one is %s", quoted(g.Name), nearest(g.Name, all))
	case c.needed && len(g.List()) == 0:
		v.fail("%s needs %s, a list of what it may use", g.Name, c.list)
	}
	for _, f := range t.fields {
		if _, found := keys[f.path]; found && known && f.path != "name" && f.path != c.list {
			v.fail("%s does not take %s", g.Name, f.path)
		}
	}
	return g
}
