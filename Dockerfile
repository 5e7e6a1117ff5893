# Countersign in one image: a static binary, the certificates of public authorities, nothing else; no shell.
#
#   docker build --build-arg VERSION=$(git describe --tags --always) -t countersign .
#
# Neither paths nor the state of version control are in the binary, so that it does not depend on where it is built. For production pin both base images by digest
# (@sha256:…), so that they are the same tomorrow.
ARG GO_IMAGE=docker.io/library/golang:1.26
ARG BASE_IMAGE=gcr.io/distroless/static-debian12:nonroot

FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS build
WORKDIR /src
# The modules first: they change less often than the code. sdk is a module of its own, which the root takes from its folder.
COPY go.mod go.sum ./
COPY sdk/go.mod sdk/go.sum ./sdk/
RUN go mod download
COPY . .
ARG VERSION=unknown
# Set by BuildKit for --platform; without it, what the build runs on.
ARG TARGETOS
ARG TARGETARCH
ENV CGO_ENABLED=0 GOFLAGS=-mod=readonly GOTOOLCHAIN=local
# Neither paths nor the state of version control, which depend on where it is built.
RUN GOOS=${TARGETOS:-$(go env GOOS)} GOARCH=${TARGETARCH:-$(go env GOARCH)} \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /out/usr/bin/countersign . && \
    mkdir -p /out/etc/countersign /out/var/lib/countersign

FROM ${BASE_IMAGE}
ARG VERSION=unknown
LABEL org.opencontainers.image.title="Countersign" \
      org.opencontainers.image.description="The identity server for services" \
      org.opencontainers.image.source="https://github.com/countersign/countersign" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /out/usr/bin/countersign /usr/bin/countersign
# New volumes at these paths are the user's to write.
COPY --from=build --chown=65532:65532 /out/etc/countersign /etc/countersign
COPY --from=build --chown=65532:65532 /out/var/lib/countersign /var/lib/countersign
# By number, so that Kubernetes can see that it is not root.
USER 65532:65532
WORKDIR /var/lib/countersign
# The admin port of every role. Another one: --health-cmd, or `healthcheck` in a compose file.
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=3 CMD ["/usr/bin/countersign", "health"]
ENTRYPOINT ["/usr/bin/countersign"]
CMD ["--help"]
