// Package openapi builds an OpenAPI 3.1 document from a list of operations and the Go types
// that they encode. The schemas are generated from the types, so that they describe what is
// encoded. It knows nothing about Berth's API. Read openapi.go first.
package openapi
