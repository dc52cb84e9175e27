# `make run` and `make test` need nothing but Go. `make help` lists the rest.

GO       ?= go
# Nothing here is in C, except in the race detector. One setting for all commands: Go compiles each package once for them.
export CGO_ENABLED := 0
BIN      := bin/berth
# Example handlers: those in Go are built, the others are fixtures that make guests builds.
HANDLERS := $(patsubst plugins-src/%/main.go,%,$(wildcard plugins-src/*/main.go))
FIXTURES := $(filter-out %/conformance.wasm,$(wildcard testdata/languages/*/*.wasm))
TOOL     := $(GO) tool -modfile=$(CURDIR)/.ci/tools/go.mod
# The product, the Go SDK, the SDK's tests in WebAssembly, the example handlers.
MODULES  := . abi/go abi/go/internal/wasmtest plugins-src
each      = set -e; for module in $(MODULES); do echo "$$module: $(1)"; (cd $$module && $(1)); done
FUZZTIME ?= 10s
# Functions for programs that embed the host, and for tests, which no command calls.
EMBEDDED := func: (Host\.Ready|Server\.(Handler|Routes))$$|telemetry/metrics/.*: List$$|pgserver/.*: (NewTCP|Server\.Address)$$
# A package whose tests take longer hangs. On a machine with other work cmd/berth takes twenty minutes.
HANGS    ?= 40m
# These take longest, and so begin first: the end then uses every processor.
LONGEST  := ./cmd/berth ./host/store ./host ./host/api ./host/sandbox ./host/sandbox/meter ./host/pgstore ./host/desk ./host/store/repair
PACKAGES  = $$(test $$module != . || echo $(LONGEST)) ./...
BOUNDTIME ?= 20s
MUTATED  := $(addprefix ./host/,sandbox/wasmbin sandbox/prescan sandbox/meter sandbox sandbox/guestnet plugin event auth \
	install delivery store bus route config api) ./abi/strictjson
SEED     ?= 1
MUTANTS  ?= 18
JOBS     ?= 2
SLOW     ?= 1
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.PHONY: help run demo cluster cluster-faults soak-cluster scale-cluster build plugins test race fuzz mutate boundaries bench load lint guests languages test-guests sdk-requests docs generators \
	browser check clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build plugins ## start the host, move a few orders, see the handlers answer
	@$(GO) build -o bin/demo ./cmd/demo && exec bin/demo -berth $(BIN) -keep

demo: build plugins ## the same, then stop: succeeds only if every answer came
	@$(GO) build -o bin/demo ./cmd/demo && exec bin/demo -berth $(BIN)

cluster: build plugins ## start PostgreSQL and three hosts, move orders, kill a host, show the takeover; needs PostgreSQL's programs
	@$(GO) build -o bin/cluster ./cmd/cluster && exec bin/cluster -berth $(BIN) -slow $(SLOW)

# make cluster-faults FAULT=drain; SLOW=10 on a machine that has other work
cluster-faults: build ## fail hosts, network, disks and databases, operate handlers meanwhile; a checker outside of the hosts prints a table
	@$(GO) build -o bin/cluster ./cmd/cluster && exec bin/cluster -berth $(BIN) -slow $(SLOW) -suite quick -logs bin/cluster-logs $(if $(FAULT),-only "$(FAULT)")

soak-cluster: build ## the same and more failures, for as long as an hour
	@$(GO) build -o bin/cluster ./cmd/cluster && exec bin/cluster -berth $(BIN) -slow $(SLOW) -suite long -logs bin/cluster-logs $(if $(FAULT),-only "$(FAULT)")

scale-cluster: build ## what three hosts with half a processor each deliver in relation to one; needs root, and no other work on the machine
	@$(GO) build -o bin/cluster ./cmd/cluster && exec bin/cluster -berth $(BIN) -suite scale

# -v names each package when it is compiled: the first build shows that it goes on.
build: ## build the host into bin/
	@test -e $(BIN) || echo "The first build compiles some 400 packages and names each one; that takes minutes, up to ten on a slow machine."
	CGO_ENABLED=0 $(GO) build -v -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN) ./cmd/berth

plugins: $(HANDLERS:%=plugins/%.wasm) ## build the example handlers into plugins/; copy those that are not in Go
	@for file in $(FIXTURES); do \
		cp "$$file" "plugins/.$${file##*/}.tmp" && mv "plugins/.$${file##*/}.tmp" "plugins/$${file##*/}"; \
	done

# The manifest goes first and the module is renamed into place, so that a host
# that watches the directory never sees a half of the pair.
# Go knows best whether there is anything to build.
plugins/%.wasm: FORCE
	@mkdir -p plugins
	GOOS=wasip1 GOARCH=wasm $(GO) build -C plugins-src -v -trimpath -ldflags -w -o ../plugins/.$*.tmp ./$*
	@if [ -f plugins-src/$*/manifest.json ]; then cp plugins-src/$*/manifest.json plugins/$*.wasm.json; fi
	@mv plugins/.$*.tmp $@

test: ## run the tests; needs only Go
	@$(call each,CGO_ENABLED=0 $(GO) test -timeout $(HANGS) $(PACKAGES))
	CGO_ENABLED=0 $(GO) test ./.ci/mutate

# With -short properties and long loops do a fifth of what make test does.
race: ## run the tests with the race detector, shorter; needs a C compiler
	@$(call each,CGO_ENABLED=1 $(GO) test -race -short -vet=off -timeout $(HANGS) $(PACKAGES))

fuzz: ## run every fuzz target for FUZZTIME
	@set -e; for module in $(MODULES); do for pkg in $$($(GO) list -C $$module ./...); do \
		for f in $$($(GO) test -C $$module -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$f"; $(GO) test -C $$module -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$pkg; \
		done; \
	done; done

# make mutate PKG="./host/auth ./host/event" SEED=7 MUTANTS=40; make mutate AT=host/auth/verifier.go:57
mutate: ## change the code a little, see whether a test fails; prints the rate for each package
	@$(GO) run ./.ci/mutate -seed $(SEED) -n $(MUTANTS) -jobs $(JOBS) $(if $(AT),-at $(AT),$(or $(PKG),$(MUTATED)))

boundaries: ## compare how code is read with wabt and the engine, for BOUNDTIME, from BOUNDSEED
	$(GO) run ./host/sandbox/meter/boundaries -for $(BOUNDTIME) $(if $(BOUNDSEED),-seed $(BOUNDSEED))

bench: ## measure against the targets, as a table; wants a quiet machine
	CGO_ENABLED=0 $(GO) run ./host/sandbox/bench

# make load LOAD="-only results -berth FILE"
load: build ## measure the real binary over HTTP, as tables; wants a quiet machine
	@$(GO) build -o bin/load ./cmd/load && exec bin/load -berth $(BIN) $(LOAD)

lint: ## formatting, vet, staticcheck, unreachable functions, tidy modules
	@out=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$out" || { echo "gofmt would change:"; echo "$$out"; exit 1; }
	@$(call each,$(GO) vet ./...)
	$(GO) vet ./testdata/hostile ./testdata/languages ./.ci/mutate ./.ci/guests
	$(GO) vet -C .ci/browser ./...
	GOOS=wasip1 GOARCH=wasm $(GO) build -C plugins-src -o /dev/null ./...
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/berth
	@$(call each,$(TOOL) staticcheck ./...)
	$(TOOL) staticcheck ./.ci/mutate ./.ci/guests ./testdata/languages
	@out=$$($(TOOL) deadcode ./cmd/... ./host/sandbox/bench | grep -vE '$(EMBEDDED)'); test -z "$$out" || { echo "no command reaches:"; echo "$$out"; exit 1; }
	@$(call each,$(GO) mod tidy -diff)
	@$(call each,$(GO) mod verify)

# UPDATE=1 writes the fixtures anew; LANGUAGES=rust,zig takes only these.
guests: build ## install the toolchains, build the handlers of every language, and check them
	.ci/toolchains
	cd abi/js && npm ci --ignore-scripts --no-audit --no-fund && npm test
	cd abi/rust && cargo test --quiet
	$(GO) run ./.ci/guests -berth $(BIN) $(if $(UPDATE),-update) $(if $(LANGUAGES),-only $(LANGUAGES))
	BERTH=$(CURDIR)/$(BIN) LANGUAGES=$(LANGUAGES) $(GO) test ./.ci/guests -count=1 -v -timeout 60m

languages: ## measure what make guests has built, and write the table of docs/languages.md; wants a quiet machine
	CGO_ENABLED=0 $(GO) run ./host/sandbox/bench -languages bin/guests -document docs/languages.md

test-guests: ## rebuild the guests of the tests; testdata/guests/README.md says with what
	cd testdata/guests && ./build.sh && wasi/build.sh
	testdata/extism/build.sh

generators: ## generate clients of the API by oapi-codegen, ogen and openapi-typescript; needs npm
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
	$(GO) test ./host/api -count=1 -run TestDescriptionIsOfWhatGeneratorsRead -args -document "$$dir/openapi.json" && \
	$(GO) tool -modfile=.ci/generators/go.mod oapi-codegen -generate types,client -package client -o "$$dir/client.go" "$$dir/openapi.json" && \
	$(GO) tool -modfile=.ci/generators/go.mod ogen -target "$$dir/ogen" -package client "$$dir/openapi.json" >"$$dir/log" 2>&1 || { cat "$$dir/log" 2>/dev/null; exit 1; } && \
	cd .ci/generators && npm ci --ignore-scripts --no-audit --no-fund && \
	node_modules/.bin/openapi-typescript "$$dir/openapi.json" -o api.d.ts && node_modules/.bin/tsc -p .

# SHOTS=DIRECTORY for the screenshots; RUN=TestMemory SOAK=10m for a long load.
browser: build ## test the console in Chromium against a real host; needs chromium and npm
	cd .ci/browser && npm ci --ignore-scripts --no-audit --no-fund
	BERTH=$(CURDIR)/$(BIN) AXE=$(CURDIR)/.ci/browser/node_modules/axe-core/axe.min.js SHOTS=$(abspath $(or $(SHOTS),bin/shots)) \
		$(GO) test -C .ci/browser -count=1 -timeout $(HANGS) $(if $(RUN),-v -run $(RUN)) ./...

docs: ## write the generated parts of docs/ and the schema of the configuration
	$(GO) test ./host/api -count=1 -run TestReference -update
	$(GO) test ./host/config -count=1 -run TestDocumentation -update

sdk-requests: ## record anew what the JavaScript SDK of CloudEvents sends; needs node and npm
	cd host/api/testdata/cloudevents-sdk && npm ci --ignore-scripts --no-audit --no-fund && node record.mjs

check: lint race ## what CI runs; leaves the tree as it was
	@test -z "$$(git status --porcelain)" || { echo "the tree is not clean:"; git status --short; exit 1; }

FORCE:

clean: ## remove what was built
	rm -rf bin plugins
