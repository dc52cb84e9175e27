package openapi_test

import (
	"encoding/json"
	"fmt"

	"github.com/berth-host/berth/host/api/openapi"
)

func ExampleBuild() {
	type thing struct {
		Name string `json:"name"`
	}
	type failure struct {
		Status int `json:"status"`
	}
	text, err := openapi.Build(openapi.Info{Title: "Things", Version: "1"}, failure{}, []openapi.Operation{{
		Method: "GET", Path: "/things/{id}", ID: "getThing", Tag: "things", Summary: "Show a thing",
		Answers: []openapi.Answer{{Status: 200, Content: []openapi.Content{{Value: thing{}}}}},
	}})
	var document struct {
		Paths map[string]map[string]struct {
			Summary string `json:"summary"`
		} `json:"paths"`
	}
	if err == nil {
		err = json.Unmarshal(text, &document)
	}
	fmt.Println(document.Paths["/things/{id}"]["get"].Summary, err)
	// Output: Show a thing <nil>
}
