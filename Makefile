VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

.DEFAULT_GOAL := help
.PHONY: help build test test-long lint fmt bench bench-check bench-check-update chart image-check licenses clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "                          $$(scripts/bench -list | paste -sd ' ')"

build: ## build the binary ./countersign
	go build -trimpath -ldflags '-X main.version=$(VERSION)' -o countersign .

test: ## what CI runs: lint, every package with the race detector, end to end (minutes)
	scripts/prerequisites
	scripts/test

test-long: ## test, and the long trials, the image and fuzzing too (hours)
	scripts/prerequisites long
	scripts/test long

lint: ## run the linters
	scripts/lint run --allow-parallel-runners

fmt: ## format the code
	scripts/lint fmt

bench: ## run all benchmarks beside their limits (an hour); results are in bench/results
	scripts/prerequisites bench
	scripts/bench

bench-check: ## compare allocations and instructions of the hot paths with bench/guard/expected.txt (half a minute)
	go run ./bench/guard

bench-check-update: ## write them anew; after every change that is meant to change them
	go run ./bench/guard -update

bench-%: ## run one of them:
	scripts/prerequisites bench
	scripts/bench $*

chart: ## render the Helm chart anew and check it; after every change of deploy/helm/countersign
	scripts/chart -update

image-check: ## prove the Dockerfile without a container engine, as root (minutes)
	scripts/image

licenses: ## write NOTICE, with the licences of everything that is linked
	go run ./internal/notice/cmd/notice > NOTICE.new
	mv NOTICE.new NOTICE

clean: ## remove what was built
	rm -f countersign
