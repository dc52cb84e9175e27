module github.com/berth-host/berth/abi/go/internal/wasmtest

go 1.26.0

require (
	github.com/berth-host/berth v0.0.0
	github.com/berth-host/berth/abi/go v0.0.0
	github.com/tetratelabs/wazero v1.12.0
)

require golang.org/x/sys v0.49.0 // indirect

replace (
	github.com/berth-host/berth => ../../../..
	github.com/berth-host/berth/abi/go => ../..
)
