# Everything a developer does here. `make` alone lists it.
GO    ?= go
TOOL   = $(GO) tool -modfile=tools.mod
PKG   ?= ./...

.DEFAULT_GOAL := help
.PHONY: help build demo dev test test-clients check fmt vet lint arrows generate generated bench fuzz image clean

help: ## show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/redrive
	$(GO) build -trimpath -o bin/redrive ./cli/redrive

demo: ## run a real workflow end to end, nothing else needed
	$(GO) run ./cli/redrive demo

dev: ## server, worker and an embedded Redis in one process
	$(GO) run ./cli/redrive dev

test: ## every test, as the README says it (installs redis-server when it is missing)
	$(GO) run ./test/run

test-clients: ## the real clients of other systems against this server (installs them into the user's cache folder)
	REDRIVE_CLIENTS=1 $(GO) test -count=1 -timeout 30m -v ./test/clients/...

check: fmtcheck vet lint generated test ## all that CI checks

fmt: ## format the code
	$(TOOL) golangci-lint fmt

.PHONY: fmtcheck
fmtcheck:
	$(TOOL) golangci-lint fmt --diff

vet: ## go vet
	$(GO) vet $(PKG)

lint: ## golangci-lint with .golangci.yml (the first build takes minutes)
	$(TOOL) golangci-lint run $(PKG)

arrows: ## the rules about the code: imports, package comments, sizes
	$(GO) test -count=1 ./test/arrows/...

generate: ## write the generated code again (server/api, client)
	$(GO) generate ./...

generated: ## fail when the generated code is not current
	$(GO) run ./test/generated

bench: ## against raw asynq, interleaved: ratios, idle hop, idle cost
	$(GO) run ./bench

fuzz: ## every fuzz target for FUZZTIME (10s)
	$(GO) run ./test/fuzz -time $(or $(FUZZTIME),10s)

image: ## build the container image redrive:dev
	docker build -f deployments/Dockerfile -t redrive:dev .

clean: ## remove what was built
	rm -rf bin
