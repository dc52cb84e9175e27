// The Go SDK is a module of its own, without requirements, so that a plugin takes nothing of the host.
module github.com/berth-host/berth/abi/go

go 1.24
