package schema

import (
	"encoding/json"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// costs are what the keywords of each part of a compiled schema cost themselves, in steps of
// about a microsecond. They are immutable once a schema is compiled.
type costs struct {
	own      map[*jsonschema.Schema]int
	patterns map[jsonschema.Regexp]int // instructions
}

// costsOf visits all parts of a schema.
func costsOf(s *jsonschema.Schema) *costs {
	c := &costs{own: make(map[*jsonschema.Schema]int), patterns: make(map[jsonschema.Regexp]int)}
	c.visit(s)
	return c
}

func (c *costs) visit(s *jsonschema.Schema) {
	if s == nil || c.own[s] > 0 {
		return
	}
	own := 1 + len(s.Required)/8
	for _, names := range s.DependentRequired {
		own += 1 + len(names)/8
	}
	if s.Enum != nil {
		n, _ := weigh(s.Enum.Values)
		own += n
	}
	if s.Const != nil {
		n, _ := weigh(*s.Const)
		own += n
	}
	c.own[s] = own
	if s.Pattern != nil {
		c.pattern(s.Pattern)
	}
	for re, part := range s.PatternProperties {
		c.pattern(re)
		c.visit(part)
	}
	for part := range parts(s) {
		c.visit(part)
	}
}

func (c *costs) pattern(re jsonschema.Regexp) {
	n, err := pattern(re.String())
	if err != nil { // the library compiled it
		n = maxPattern
	}
	c.patterns[re] = n
}

// parts yields the parts of a schema but those of patternProperties; some may be nil.
func parts(s *jsonschema.Schema) func(yield func(*jsonschema.Schema) bool) {
	list := slices.Concat(s.AllOf, s.AnyOf, s.OneOf, s.PrefixItems, []*jsonschema.Schema{s.Ref, s.Not, s.If, s.Then, s.Else,
		s.PropertyNames, s.UnevaluatedProperties, s.Contains, s.Items2020, s.UnevaluatedItems})
	for _, part := range s.Properties {
		list = append(list, part)
	}
	for _, part := range s.DependentSchemas {
		list = append(list, part)
	}
	for _, part := range s.Dependencies {
		list = append(list, oneOf(part)...)
	}
	for _, part := range []any{s.AdditionalProperties, s.AdditionalItems, s.Items} {
		list = append(list, oneOf(part)...)
	}
	return slices.Values(list)
}

// oneOf returns the schemas of a keyword that may have another value instead.
func oneOf(v any) []*jsonschema.Schema {
	switch v := v.(type) {
	case *jsonschema.Schema:
		return []*jsonschema.Schema{v}
	case []*jsonschema.Schema:
		return v
	}
	return nil
}

// estimate bounds what one check takes, by the way that the check takes through the data. It
// costs a small part of the check, and ends when the bound is exceeded.
type estimate struct {
	*costs
	left int // steps; below zero: the bound is exceeded
}

// steps returns an upper bound of the steps of a check; more than limit for one that takes
// more.
func (c *costs) steps(s *jsonschema.Schema, v any, limit int) int {
	e := estimate{c, limit}
	e.check(s, v)
	return limit - e.left
}

// check subtracts what it takes to check a value against a part of the schema.
func (e *estimate) check(s *jsonschema.Schema, v any) {
	if s == nil || e.left < 0 {
		return
	}
	e.left -= e.own[s]
	if s.Bool != nil {
		return
	}
	for _, list := range [][]*jsonschema.Schema{s.AllOf, s.AnyOf, s.OneOf} {
		for _, part := range list {
			e.check(part, v)
		}
	}
	e.check(s.Ref, v)
	e.check(s.Not, v)
	e.check(s.If, v)
	e.check(s.Then, v)
	e.check(s.Else, v)
	switch v := v.(type) {
	case map[string]any:
		e.object(s, v)
	case []any:
		e.array(s, v)
	case string:
		e.text(s.Pattern, v)
	case json.Number:
		if s.Minimum != nil || s.Maximum != nil || s.ExclusiveMinimum != nil || s.ExclusiveMaximum != nil || s.MultipleOf != nil {
			e.left--
		}
	}
}

// text subtracts what it takes to match a text with a regular expression; nil for none.
func (e *estimate) text(re jsonschema.Regexp, text string) {
	e.left -= len(text) / 64
	if re != nil {
		e.left -= e.patterns[re] * (1 + len(text)/64)
	}
}

func (e *estimate) object(s *jsonschema.Schema, v map[string]any) {
	e.left -= len(v) / 4
	for name, part := range s.DependentSchemas {
		if _, there := v[name]; there {
			e.check(part, v)
		}
	}
	for name, dependency := range s.Dependencies {
		part, _ := dependency.(*jsonschema.Schema)
		if _, there := v[name]; there {
			e.check(part, v)
		}
	}
	additional, _ := s.AdditionalProperties.(*jsonschema.Schema)
	for name, member := range v {
		if e.left < 0 {
			return
		}
		e.check(s.PropertyNames, name)
		e.check(s.UnevaluatedProperties, member)
		for re, part := range s.PatternProperties { // which may match or not
			e.text(re, name)
			e.check(part, member)
		}
		if part := s.Properties[name]; part != nil {
			e.check(part, member)
		} else {
			e.check(additional, member)
		}
	}
}

func (e *estimate) array(s *jsonschema.Schema, v []any) {
	e.left -= len(v) / 4
	if s.UniqueItems {
		e.unique(v)
	}
	all, _ := s.Items.(*jsonschema.Schema)
	first, _ := s.Items.([]*jsonschema.Schema)
	additional, _ := s.AdditionalItems.(*jsonschema.Schema)
	first = append(first[:len(first):len(first)], s.PrefixItems...) // of one draft or the other
	for i, item := range v {
		if e.left < 0 {
			return
		}
		e.check(s.Contains, item)
		e.check(s.UnevaluatedItems, item)
		e.check(all, item)
		if i < len(first) {
			e.check(first[i], item)
		} else {
			e.check(additional, item)
			e.check(s.Items2020, item)
		}
	}
}

// unique subtracts what it takes to compare items: those of a short list in pairs, those of a
// long one by their hashes.
func (e *estimate) unique(v []any) {
	const inPairs = 20
	n, _ := weigh(v)
	e.left -= n * min(len(v), inPairs) / 2
}
