package openapi

import (
	"encoding/json"
	"testing"
)

// TestRawProperties: a property that is raw JSON has its type in answers, where one is given,
// and any in requests.
func TestRawProperties(t *testing.T) {
	text, err := Build(Info{Title: "Things", Version: "1", Raw: map[string]any{"Thing.any": wanted{}}}, failure{}, []Operation{
		{Method: "GET", Path: "/things", ID: "listThings", Tag: "things", Summary: "List things", Answers: ok(list[thing]{})},
		{Method: "PUT", Path: "/things", ID: "putThing", Tag: "things", Summary: "Put a thing", Body: []Content{{Value: thing{}}}, Answers: ok(thing{})},
	})
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	schemas := at(t, doc, "components", "schemas")
	if got := at(t, schemas, "Thing", "properties", "any", "$ref"); got != "#/components/schemas/Wanted" {
		t.Errorf("an answer has %v", got)
	}
	if got := at(t, schemas, "Wanted", "properties", "name", "type"); got != "string" {
		t.Errorf("its type has %v", got)
	}
	if got := at(t, schemas, "ThingInput", "properties", "any", "description"); got != "Any JSON value." {
		t.Errorf("a request has %v", got)
	}
}
