# hotspot. `make help` lists the targets. Users need Go and make only: the BPF
# objects are committed, clang is for those who change bpf/.

# Binaries are copied between hosts: no C library. The version is stamped from
# git describe below; Go's own look at git fails in a checkout of another user.
export CGO_ENABLED := 0
export GOFLAGS := $(GOFLAGS) -buildvcs=false

# Newer sets have holes. go mod tidy takes the newest of a module that was not
# required before, and ocb would mix it with the rest: lint looks at go.mod.
COLLECTOR := v0.159.0 v1.65.0
OTEL := go tool -modfile=tools/otel/go.mod
LINT := go tool -modfile=tools/lint/go.mod
SUDO := $(if $(filter-out 0,$(shell id -u)),sudo)

# The newest tag v1.2.3 and what came after it; without a tag what the manifest says.
VERSION ?= $(patsubst v%,%,$(shell git describe --tags --dirty --match 'v[0-9]*' 2>/dev/null))

FULL := _build/otelcol-hotspot
SLIM := _build/otelcol-hotspot-slim
STORES := _build/victoria-metrics _build/victoria-logs
PROMETHEUS := _build/prometheus _build/promtool

# What is released is built by one toolchain, and that one's standard library is
# looked at for vulnerabilities, whatever Go is installed; it is downloaded where it
# is not. Nothing else needs it: with GOTOOLCHAIN=local all other targets make do
# with what go.mod's go line asks for.
RELEASE_GO ?= $(shell sed -n 's/^toolchain //p' go.mod)
release sign packages image test-release test-packages vulncheck: export GOTOOLCHAIN := $(RELEASE_GO)

# A release: the same source gives the same files, wherever and whenever.
ARCHES := amd64 arm64
RELEASE := _build/release
RELEASE_VERSION = $(or $(VERSION),$(shell sed -n 's/^  version: //p' builder-config.yaml))
RELEASE_NAME = $(RELEASE)/otelcol-hotspot_$(RELEASE_VERSION)
RELEASE_TOOL := go tool -modfile=tools/release/go.mod
MODULE := github.com/hotspot-otel/hotspot
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)
BINARIES := $(ARCHES:%=_build/linux-%/otelcol-hotspot)
PACKAGES = $(foreach kind,deb rpm,$(ARCHES:%=$(RELEASE_NAME)_linux_%.$(kind)))
ARCHIVES = $(foreach kind,tar.gz cdx.json,$(ARCHES:%=$(RELEASE_NAME)_linux_%.$(kind)))
IMAGE = $(RELEASE_NAME)_image.tar
COSIGN := _build/cosign
SOURCES := go.mod go.sum $(shell find bpf exporter internal receiver -name '*.o' -o -name '*.go' ! -name '*_test.go')
SCRIPTS := .ci/run kernels/boot kernels/fetch $(wildcard packaging/*.sh)
BPF_C := $(wildcard bpf/*.[ch] bpf/testdata/*/*.[ch])
GO_DIRS := $(wildcard bench bpf deploy docs e2e exporter internal kernels packaging receiver testdata tools)

# The go:generate lines pin the version of clang: other versions give other
# objects, and CI compares the committed ones with its own.
CLANG := $(shell sed -n 's|^//go:generate.* -cc clang-\([0-9]*\) .*|\1|p' bpf/*.go | sort -u)
BPF_PACKAGES := clang-$(CLANG) clang-format-$(CLANG) llvm-$(CLANG) libbpf-dev
# Where no test may skip itself, what tests need is installed as well.
TEST_PACKAGES := $(if $(filter 1,$(HOTSPOT_REQUIRE_KERNEL)),runc containerd postgresql mariadb-server)

# Installs Debian's packages that are missing, or names them. No server that comes
# with them is started (policy-rc.d).
define install
@missing=; for p in $(1); do \
	dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; \
done; \
test -z "$$missing" && exit; \
test "$$(id -u)" = 0 && command -v apt-get >/dev/null || { echo "Please install:$$missing (Debian's names)"; exit 1; }; \
rc=/usr/sbin/policy-rc.d; test -e $$rc || { printf '\043!/bin/sh\nexit 101\n' >$$rc && chmod 755 $$rc && trap "rm -f $$rc" EXIT; }; \
apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$missing
endef

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help run top demo test build slim packages image release sign test-release test-packages release-packages generate lint scenarios e2e kubernetes fleet pictures fuzz vulncheck race bench bench-hooks bench-go bench-smoke test-kernels soak clean bpf-packages

# help: list the targets
help:
	@sed -n 's/^# \([a-z0-9-]*\): /\1: /p' Makefile | awk -F': ' '{printf "  %-11s %s\n", $$1, $$2}'

# run: run the collector with otelcol-config.yaml (sudo asks when you are not root); builds it first
RUN := $(or $(wildcard $(FULL)),$(SLIM))
run: $(RUN)
	@echo 'Watching this host; the first window ends in 5 seconds, Ctrl-C stops.'
	$(SUDO) $(RUN) --config=otelcol-config.yaml

# top: watch this host on the terminal (configs/terminal.yaml); builds the collector first
top: $(RUN)
	$(SUDO) $(RUN) --config=configs/terminal.yaml

# demo: run the collector, VictoriaMetrics and VictoriaLogs, to be seen in a browser; builds them first
demo: $(FULL) $(STORES)
	@go build -o _build/demo ./deploy/demo
	@$(SUDO) _build/demo

# test: run the Go tests; as root also those that need the kernel
# -count=1: the test cache knows nothing of the kernel. -p=1: the packages load it.
test: $(if $(TEST_PACKAGES),$(PROMETHEUS))
	$(if $(TEST_PACKAGES),$(call install,$(TEST_PACKAGES)))
	@test "$$(id -u)" = 0 || echo 'Not root: tests that need the kernel are skipped. For all: sudo env PATH="$$PATH" make test'
	go test -count=1 -p=1 $$(go list ./... | grep -v -e /e2e$$ -e /packaging$$ -e /scenarios$$)
	@# Not beside the others, whose load would be diagnosed as well.
	go test -count=1 -timeout=20m ./internal/scenarios
	go vet ./testdata/workload ./testdata/backend ./testdata/containerd ./testdata/hidden ./testdata/hostcpu ./bpf/testdata/switches ./bpf/testdata/timed ./bpf/testdata/departures

# build: build the full distribution, _build/otelcol-hotspot (5 to 10 minutes the first time)
build: $(FULL)

# slim: build the small one, _build/otelcol-hotspot-slim (2 minutes the first time)
slim: $(SLIM)

# ocb sets -trimpath and -ldflags='-s -w'. It reads the environment as well as
# the manifest, dots and all, which only env(1) can set.
$(FULL): builder-config.yaml
$(SLIM): builder-config.slim.yaml
$(FULL) $(SLIM): tools/otel/go.mod $(SOURCES) _build/version
	@mkdir -p _build
	@echo "Building $@: minutes the first time, seconds later"
	env $(if $(VERSION),dist.version=$(VERSION)) $(OTEL) builder --config=$(filter builder-config%,$^)
	@mv $(subst otelcol-hotspot,dist,$@)/$(@F) $@

# What is stamped into files: they are made anew when it is another.
_build/version: STAMP = $(VERSION)
_build/epoch: STAMP = $(SOURCE_DATE_EPOCH)
_build/version _build/epoch: FORCE
	@mkdir -p _build
	@echo '$(STAMP)' | cmp -s - $@ || echo '$(STAMP)' >$@
FORCE:

# Their versions are what their modules require.
$(STORES): _build/victoria-%: tools/victoria%/go.mod
	@mkdir -p _build
	@echo "Building $@: half a minute the first time"
	go build -trimpath -ldflags='-s -w' -modfile=$< -o $@ github.com/VictoriaMetrics/VictoriaMetrics/app/$(@F)

# Debian's, but not installed: that would start a server, at every boot again.
$(PROMETHEUS) &:
	@mkdir -p _build/debian
	cd _build/debian && { apt-get download -q prometheus || { $(SUDO) apt-get update -q && apt-get download -q prometheus; }; }
	dpkg-deb --fsys-tarfile _build/debian/prometheus_*.deb | tar -xmC _build --strip-components=3 ./usr/bin/prometheus ./usr/bin/promtool
	@rm -r _build/debian

# packages: build .deb and .rpm for amd64 and arm64, into _build/release
packages: $(PACKAGES)

# image: build the container image for both, an OCI layout in a tar file in _build/release
image: $(IMAGE)

# release: build a release, which is archives, packages, image, SBOMs and their checksums
release: $(RELEASE)/SHA256SUMS

# sign: sign a release, with the key that COSIGN_KEY names or as who you are (keyless)
sign: $(RELEASE)/SHA256SUMS.sigstore.json

# What ocb left when it built the distribution is built anew for each.
$(BINARIES): _build/linux-%/otelcol-hotspot: $(FULL)
	GOOS=linux GOARCH=$* go build -C _build/dist -trimpath -ldflags='-s -w -buildid=' -o $(abspath $@) .

$(PACKAGES): $(RELEASE_NAME)_linux_%: $(BINARIES) $(filter-out %_test.go,$(wildcard packaging/*.* configs/*)) _build/epoch
	@mkdir -p $(RELEASE)
	ARCH=$(basename $*) VERSION=$(RELEASE_VERSION) $(RELEASE_TOOL) nfpm package \
		--config=packaging/nfpm.yaml --packager=$(subst .,,$(suffix $@)) --target=$@

TAR := tar --dereference --sort=name --mtime=@$(SOURCE_DATE_EPOCH) --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX
$(RELEASE_NAME)_linux_%.tar.gz: _build/linux-%/otelcol-hotspot LICENSE README.md $(wildcard configs/*) packaging/config.yaml _build/epoch
	@mkdir -p $(RELEASE)
	$(TAR) --transform='s|^|$(notdir $(@:.tar.gz=))/|' -c -C $(<D) $(<F) -C $(CURDIR)/packaging config.yaml \
		-C $(CURDIR) LICENSE README.md configs | gzip -n >$@

$(RELEASE_NAME)_linux_%.cdx.json: _build/linux-%/otelcol-hotspot
	@mkdir -p $(RELEASE)
	@# The SBOM has the checksum of the tool.
	GOFLAGS='$(GOFLAGS) -trimpath' $(RELEASE_TOOL) cyclonedx-gomod bin -json -std -noserial -notimestamp -version=$(RELEASE_VERSION) -output=$@ $<
	@# Of the receiver the binary knows only where its source lay.
	sed -i -e 's|golang/\.\./\.\.@(devel)|golang/$(MODULE)@v$(RELEASE_VERSION)|' -e 's|"\.\./\.\."|"$(MODULE)"|' \
		-e 's|"(devel)"|"v$(RELEASE_VERSION)"|' -e 's|\("url": "https://$(MODULE)\)/.*"|\1"|' $@

$(IMAGE): $(BINARIES) packaging/config.yaml $(wildcard tools/release/image/*) tools/release/go.mod _build/epoch
	@mkdir -p $(RELEASE)
	@rm -rf _build/image-layout
	go build -C tools/release -o $(abspath _build/image) ./image
	_build/image -version=$(RELEASE_VERSION) -created=$(SOURCE_DATE_EPOCH) -config=packaging/config.yaml \
		-o _build/image-layout $(foreach arch,$(ARCHES),$(arch)=_build/linux-$(arch)/otelcol-hotspot)
	$(TAR) -cf $@ -C _build/image-layout .

$(RELEASE)/SHA256SUMS: $(ARCHIVES) $(PACKAGES) $(IMAGE)
	cd $(RELEASE) && sha256sum $(notdir $^) >$(@F)

# With a key of one's own nothing is said to anybody; else the signature is in
# Sigstore's public log.
$(RELEASE)/SHA256SUMS.sigstore.json: $(RELEASE)/SHA256SUMS $(COSIGN)
	$(COSIGN) sign-blob --yes --bundle=$@ $(if $(COSIGN_KEY),--key=$(COSIGN_KEY) --use-signing-config=false --tlog-upload=false) $<

$(COSIGN): tools/cosign/go.mod
	@mkdir -p _build
	go build -trimpath -ldflags='-s -w' -modfile=$< -o $@ github.com/sigstore/cosign/v3/cmd/cosign

# test-release: build a release, sign it with a key made here, verify, install and run it; as root
test-release: release-packages $(COSIGN) _build/bookworm
	@test -e _build/cosign.key || { cd _build && COSIGN_PASSWORD= ./cosign generate-key-pair; }
	COSIGN_PASSWORD= $(MAKE) sign COSIGN_KEY=_build/cosign.key
	cp _build/cosign.pub $(RELEASE)
	$(PACKAGING) ./packaging

# test-packages: the part of it for this architecture, without signatures; as root
test-packages: release-packages _build/bookworm
	$(MAKE) release ARCHES=$(shell go env GOARCH)
	$(PACKAGING) -run='^(TestTheDebianPackage|TestTheRPMPackage|TestTheUnitIsHardened|TestTheImage|TestTheSameSourceGivesTheSameRelease)$$' ./packaging
PACKAGING = PATH=$(abspath _build):$$PATH HOTSPOT_REQUIRE_KERNEL=1 HOTSPOT_RELEASE=$(abspath $(RELEASE)) \
	HOTSPOT_DEBIAN=$(abspath _build/bookworm) go test -count=1 -v -timeout=20m

release-packages:
	$(call install,containerd mmdebstrap qemu-user-static rpm runc systemd)

# A system for packages to be installed in.
_build/bookworm: | release-packages
	@rm -rf $@.new
	mmdebstrap --variant=minbase --include=ca-certificates,systemd bookworm $@.new
	@mv $@.new $@

# generate: rebuild the BPF objects and what mdatagen makes of metadata.yaml
generate: bpf-packages
	go generate ./bpf/... ./bpf/testdata/switches ./bpf/testdata/timed ./bpf/testdata/departures
	cd receiver/hotspotreceiver && go tool -modfile=../../tools/otel/go.mod mdatagen metadata.yaml
	cd exporter/hotspottopexporter && go tool -modfile=../../tools/otel/go.mod mdatagen metadata.yaml

# lint: vet, formatting, golangci-lint; clang-format for bpf/; the scripts and workflows
lint: bpf-packages
	$(call install,shellcheck)
	@! grep go.opentelemetry.io/collector go.mod | grep -v $(addprefix -e ,$(COLLECTOR)) || \
		{ echo "go.mod: these are not the versions the distribution is built from, $(COLLECTOR)"; exit 1; }
	go vet ./...
	@files=$$(gofmt -l $(GO_DIRS)); test -z "$$files" || { echo "gofmt: $$files"; exit 1; }
	$(LINT) golangci-lint run ./...
	clang-format-$(CLANG) --dry-run -Werror $(BPF_C)
	shellcheck $(SCRIPTS)
	go tool -modfile=tools/workflows/go.mod actionlint

# scenarios: run every diagnosis scenario five times at intervals of 1, 2 and 5 seconds (under an hour); as root
# The table of results is the end of the log, and _build/scenarios.json. With
# HOTSPOT_QUIET_HOST=1, where nothing else runs, no run is made again, and nothing
# may be said of any process that is not part of a scenario.
scenarios:
	@mkdir -p _build
	HOTSPOT_REQUIRE_KERNEL=1 HOTSPOT_SCENARIOS=full HOTSPOT_QUIET_HOST=$(HOTSPOT_QUIET_HOST) \
		HOTSPOT_SCENARIOS_JSON=$(abspath _build/scenarios.json) go test -count=1 -v -timeout=3h ./internal/scenarios

# test-kernels: test the BPF programs on Debian's kernels in an emulator and on this one, into docs/kernels.md (root; 20 minutes)
# KERNELS="host 6.12-amd64" tests some, SHORT=1 leaves out what takes long; both leave the page alone.
test-kernels:
	$(call install,cpio $(if $(findstring -amd64,$(KERNELS)),qemu-system-x86) $(if $(findstring -arm64,$(KERNELS)),qemu-system-arm))
	@go build -o _build/kernels/matrix ./kernels
	_build/kernels/matrix $(if $(SHORT),-short) $(if $(SHORT)$(filter-out file,$(origin KERNELS)),,-o docs/kernels.md) $(MATRIX_FLAGS) $(KERNELS)
KERNELS = host 5.10-amd64 6.1-amd64 6.12-amd64 backports-amd64 sid-amd64 6.12-rt-amd64 6.1-arm64 6.12-arm64

# e2e: test the full distribution from outside, with the stores it sends to and their pages
e2e: $(FULL) $(STORES) $(PROMETHEUS)
	$(call install,chromium fonts-dejavu-core)
	@go build -o _build/demo ./deploy/demo
	$(E2E) -v -timeout=20m -skip='$(SOAKS)' ./e2e/...
E2E = PATH=$(abspath _build):$$PATH HOTSPOT_REQUIRE_KERNEL=1 HOTSPOT_BINARY=$(abspath $(FULL)) go test -count=1

# kubernetes: test the manifests and the chart's values under deploy/kubernetes, and their collectors' configurations
kubernetes: $(FULL)
	HOTSPOT_BINARY=$(abspath $(FULL)) go -C deploy/kubernetes test -count=1 ./...

# fleet: measure what 300 agents (or AGENTS=) cost a gateway, for docs/scale.md (root; 3 minutes)
fleet: $(FULL)
	HOTSPOT_FLEET=$(or $(AGENTS),300) $(E2E) -v -timeout=20m -run='^TestCostOfAGateway$$' ./e2e

# soak: keep the full distribution under load, outages, reloads and signals (root; SOAK=10m, the default, or less)
# For as long as it runs kernel.pid_max is 131072, if it is less.
soak: $(FULL)
	SOAK=$(SOAK) $(E2E) -v -timeout=60m -run='$(SOAKS)' ./e2e
SOAK = 10m
SOAKS = ^(TestSoak|TestSIGTERMAtAnyMoment)$$

# pictures: take those of the documentation anew, of a real run; as root
pictures: $(FULL) $(STORES) $(PROMETHEUS)
	$(call install,chromium fonts-dejavu-core)
	HOTSPOT_PICTURES=$(abspath docs) $(E2E) -run='^(TestPicture|TestDashboards.*)$$' ./e2e

# race: run the tests that need no kernel under the race detector (wants a C compiler)
# Without capabilities, so that those that need one skip themselves: they take
# minutes, and are of the same code. The one left out asserts what drawing costs.
race:
	$(call install,gcc libc6-dev)
	CGO_ENABLED=1 HOTSPOT_REQUIRE_KERNEL= go test -race -count=1 -skip='^TestAFleetIsDrawnInLittleTime$$' -exec='setpriv --bounding-set=-all --inh-caps=-all' \
		$$(go list ./bpf ./exporter/... ./internal/... ./receiver/... | grep -v -e /containers$$ -e /scenarios$$)

# fuzz: fuzz each parser for FUZZTIME, a minute; the seeds alone are part of the tests
FUZZTIME ?= 60s
fuzz:
	@grep -r '^func Fuzz' --include='*_test.go' $(GO_DIRS) | sed 's|/[^/]*:func \(Fuzz[A-Za-z]*\)(.*| \1|' | sort | \
	while read -r package name; do \
		echo "$$package $$name"; \
		go test -run='^$$' -fuzz="^$$name$$" -fuzztime=$(FUZZTIME) -fuzzminimizetime=5s ./$$package || exit 1; \
	done

# vulncheck: look for known vulnerabilities in what is called here (govulncheck; needs vuln.go.dev)
# Where that can't be reached, the newest copy the module proxy has will do, and
# without either nothing is known: that is a failure.
VULNDB = https://vuln.go.dev
vulncheck:
	@db=$(VULNDB); curl -fsSo /dev/null -m 20 $$db/index/db.json || { \
		echo "$$db cannot be reached: looking for a copy in the module proxy"; \
		dir=$$(go mod download -json golang.org/x/vulndb@latest | sed -n 's/^\t"Dir": "\(.*\)",/\1/p'); \
		test -n "$$dir" || { echo 'vulncheck: no vulnerability database can be reached; NOTHING WAS CHECKED'; exit 1; }; \
		echo "vulncheck: as of $${dir##*@}"; db=file://$$dir/data/osv; \
	}; \
	go tool -modfile=tools/vuln/go.mod govulncheck -db=$$db ./...

# bench: measure all of what it costs beside host_metrics, into bench/results.md and .json (root; 10 minutes)
# For as long as it runs kernel.pid_max is 131072, if it is less.
bench: $(FULL)
	$(MAKE) bench-hooks
	go test -c -o _build/agents.test ./bench/agents
	@# Root writes to them, and they stay yours.
	touch bench/results.md bench/results.json
	$(SUDO) env HOTSPOT_BINARY=$(abspath $(FULL)) HOTSPOT_BENCH=$(abspath bench/results) HOTSPOT_HOOKS=$(abspath _build/hooks.txt) \
		_build/agents.test -test.run='^$$' -test.bench=BenchmarkAgents -test.benchtime=1x -test.timeout=30m

# bench-hooks: measure what the hook in every context switch costs, and its looks back at their worst (root; 4 minutes)
bench-hooks:
	@mkdir -p _build
	go test -c -o _build/hooks.test ./bench
	go test -c -o _build/looks.test ./bpf
	$(SUDO) _build/looks.test -test.run='^$$' -test.bench=BenchmarkLookBack -test.benchtime=1x
	$(SUDO) _build/hooks.test -test.run='^$$' -test.bench=BenchmarkHooks -test.benchtime=1x >_build/hooks.txt; \
		status=$$?; cat _build/hooks.txt; exit $$status

# bench-go: run the Go benchmarks of all stages
bench-go:
	go test -run='^$$' -bench=. -benchmem -p=1 $$(go list ./... | grep -v -e /bench$$ -e /bench/agents$$)

# bench-smoke: run them once, and count what is allocated for a thread: nothing may be
bench-smoke:
	go test -count=1 -p=1 -run=Allocat -bench=. -benchtime=1x $$(go list ./... | grep -v -e /bench$$ -e /bench/agents$$ -e /e2e$$ -e /packaging$$ -e /scenarios$$)

# clean: remove what was built
clean:
	rm -rf _build

bpf-packages:
	$(call install,$(BPF_PACKAGES))
