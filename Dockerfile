# Usher in a container: built on Debian, run on distroless without a shell, as a user without rights.
#
#   docker build -t usher .
#   docker run -p 9080:9080 -p 127.0.0.1:9180:9180 -v usher:/var/lib/usher --read-only usher

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The caches stay between builds; what is needed is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --package usher-gateway && \
    strip -o /usher target/release/usher && \
    mkdir -p /state

# The same Debian as above: glibc and libstdc++ of the build.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /usher /usr/bin/usher
COPY --from=build --chown=65532:65532 /state /var/lib/usher
COPY deploy/docker/config.yaml /etc/usher/config.yaml
USER 65532:65532
# The data folder is usher-data in here, so that `docker exec CONTAINER usher list` finds the admin key by itself.
WORKDIR /var/lib/usher
VOLUME /var/lib/usher
EXPOSE 9080 9443 9180 5000 9091
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/usr/bin/usher", "status", "--ready"]
ENTRYPOINT ["/usr/bin/usher"]
CMD ["serve", "--config", "/etc/usher/config.yaml"]
