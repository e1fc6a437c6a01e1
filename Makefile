# Everything a person or CI does with this tree. `make` lists the targets.

GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
COMMIT   ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS   = -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
# The version is stamped above; git's own stamp fails in a clone owned by another user.
GOBUILD   = CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)'

BACKEND  ?= smsp
FUZZTIME ?= 60s
BENCH    ?= .
PKG      ?= ./...

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## run the service against a simulator, here and now; BACKEND=pds asks PDS; ONCE=1 ends after the samples
	CGO_ENABLED=0 go run -trimpath ./cmd/spinetrace demo --backend $(BACKEND) $(if $(filter-out 0,$(ONCE)),--once)

.PHONY: test
test: ## all tests, with the race detector, on a real PostgreSQL; installs what they need
	scripts/test.sh

.PHONY: fault-matrix
fault-matrix: ## every fault of a back end played to the service, with its default time limits: a table
	go test -run '^TestFaultMatrix$$' -count=1 -timeout 15m -v ./cmd/spinetrace -matrix-full

.PHONY: interop
interop: ## foreign HL7 clients and servers against the program; installs them in the user's cache
	go run ./scripts/gotest -tags interop -count=1 -timeout 30m ./interop

.PHONY: build
build: ## bin/spinetrace, static, for this machine
	$(GOBUILD) -o bin/spinetrace ./cmd/spinetrace

.PHONY: crossbuild
crossbuild: ## bin/spinetrace-OS-ARCH for the other machines we support
	GOOS=linux GOARCH=arm64 $(GOBUILD) -o bin/spinetrace-linux-arm64 ./cmd/spinetrace
	GOOS=windows GOARCH=amd64 $(GOBUILD) -o bin/spinetrace-windows-amd64.exe ./cmd/spinetrace

.PHONY: lint
lint: ## format, vet (for Windows, too), staticcheck and the rest of .golangci.yml
	go run $(GOLANGCI_LINT) run
	GOOS=windows go vet ./...

.PHONY: bench
bench: ## benchmarks; BENCH=REGEXP and PKG=./hl7v2 narrow them
	go test -run '^$$' -bench '$(BENCH)' -benchmem $(PKG)

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (60s); PKG=./hl7v2 narrows them
	scripts/fuzz.sh $(FUZZTIME) $(PKG)

.PHONY: generate
generate: ## rewrite what is generated from the code, such as the settings page
	go generate ./...

.PHONY: check
check: ## all that CI runs
	.ci/run

.PHONY: clean
clean: ## remove what the targets above made
	rm -rf bin
