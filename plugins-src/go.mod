// The example handlers are a module of their own, as a plugin author's is.
module github.com/berth-host/berth/plugins-src

go 1.24

require github.com/berth-host/berth/abi/go v0.0.0

replace github.com/berth-host/berth/abi/go => ../abi/go
