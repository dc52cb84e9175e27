package config

import (
	"cmp"
	"slices"

	"github.com/berth-host/berth/host/spec"
)

// A capability and the lists its grant may hold. A grant without a list that it
// needs would either give nothing or give everything; it is refused instead.
type capability struct {
	list  string // the key of the list, "" for none
	needs bool   // the list must be there and not empty
}

func capabilities() map[string]capability {
	return map[string]capability{
		"emit":   {list: "event_types"},
		"http":   {list: "hosts", needs: true},
		"kv":     {},
		"secret": {list: "names", needs: true},
	}
}

// readGrants reads grants in either shape:
//
//	grants: [kv, {name: http, hosts: [api.example.com]}]
//	grants: {kv: {}, http: {hosts: [api.example.com]}}
func readGrants(v value) []spec.Grant {
	var grants []spec.Grant
	add := func(at value, g spec.Grant, ok bool) {
		switch {
		case !ok:
		case slices.ContainsFunc(grants, func(other spec.Grant) bool { return other.Name == g.Name }):
			at.fail("%s is granted twice; put both lists into one grant", g.Name)
		default:
			grants = append(grants, g)
		}
	}
	switch v.tag() {
	case "!!map":
		for _, e := range v.entries() {
			g, ok := readGrant(e.value, e.key)
			add(e.value, g, ok)
		}
	case "!!seq":
		for _, item := range v.items() {
			if item.tag() == "!!map" {
				g, ok := readGrant(item, "")
				add(item, g, ok)
				continue
			}
			if name := item.text(); name != "" {
				g, ok := readGrant(item.null(), name)
				add(item, g, ok)
			}
		}
	default:
		v.fail("must be a list of capabilities, such as [kv, {name: http, hosts: [api.example.com]}], not %s", v.kind())
	}
	slices.SortFunc(grants, func(a, b spec.Grant) int { return cmp.Compare(a.Name, b.Name) })
	return grants
}

// readGrant reads one grant. An empty name means that it is among the fields.
func readGrant(v value, name string) (spec.Grant, bool) {
	before := len(v.d.problems)
	g := spec.Grant{Name: name}
	known := map[string]func(value){
		"hosts":       func(v value) { g.Hosts = v.list(1000, readHost) },
		"event_types": func(v value) { g.EventTypes = v.list(1000, readGlob) },
		"names":       func(v value) { g.Names = v.list(1000, readSecret) },
	}
	if name == "" {
		known["name"] = func(v value) { g.Name = v.text() }
	}
	v.fields(known)
	if len(v.d.problems) > before {
		return g, false
	}
	all := capabilities()
	c, ok := all[g.Name]
	switch {
	case g.Name == "":
		v.fail("needs a name: emit, http, kv or secret")
	case !ok:
		v.fail("unknown capability %s; the nearest known one is %s", quoted(g.Name), nearest(g.Name, all))
	}
	check := func(key string, list []string) {
		switch {
		case !ok:
		case c.list != key && list != nil:
			v.fail("%s does not take %s", g.Name, key)
		case c.list == key && c.needs && len(list) == 0:
			v.fail("%s needs %s, a list of what it may use", g.Name, key)
		}
	}
	check("hosts", g.Hosts)
	check("event_types", g.EventTypes)
	check("names", g.Names)
	return g, len(v.d.problems) == before
}
