// Package openapi writes the description of an HTTP API as an OpenAPI 3.1
// document, from a list of operations whose bodies are Go types: the schemas are
// read off the types, so that they cannot tell of another shape than the one
// that is encoded. Values only; it serves nothing.
package openapi
