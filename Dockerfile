# The riskweir image: one binary with TLS and SASL, the shipped rules and models, no root.
#
#   docker build -t riskweir:0.1.0 .
#   docker run --rm --read-only riskweir:0.1.0 --help

FROM rust:1.95.0-bookworm AS build
WORKDIR /src
# Object stores for snapshots are further features: s3, gcs, azure.
ARG FEATURES=secure,api-tls,api-jwt
# zlib goes into the binary: the run stage has none.
ENV CARGO_TERM_COLOR=never LIBZ_SYS_STATIC=1
COPY . .
# OpenSSL and librdkafka are compiled from source here; the caches keep them between builds. The binary carries the list of what it
# was built of: `cargo audit bin /usr/bin/riskweir`.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo install --locked --root /opt/cargo cargo-auditable@0.7.7 && \
    PATH="/opt/cargo/bin:$PATH" cargo auditable build --release --locked --features "$FEATURES" && \
    install -D --mode=0755 target/release/riskweir /out/usr/bin/riskweir && \
    if ldd /out/usr/bin/riskweir | grep -v -E 'linux-vdso|ld-linux|libc\.so|libm\.so|libgcc_s\.so'; then \
      echo 'the binary needs a library that the run stage lacks' >&2; exit 1; \
    fi
RUN install -d --mode=0750 /out/state && \
    install -d /out/etc/riskweir /out/usr/share/riskweir /out/usr/share/doc/riskweir && \
    cp -R rules models /out/usr/share/riskweir/ && \
    cp LICENSE /out/usr/share/doc/riskweir/LICENSE

FROM debian:12.12-slim
LABEL org.opencontainers.image.title="riskweir" \
      org.opencontainers.image.description="Real-time transaction risk monitoring over Kafka" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
# For TLS to brokers whose certificates come from a public authority.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/etc/ /etc/
COPY --from=build /out/usr/ /usr/
# A new volume that is put there takes over the owner.
COPY --from=build --chown=10001:10001 /out/state/ /var/lib/riskweir/
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /var/lib/riskweir
VOLUME ["/var/lib/riskweir"]
EXPOSE 9464
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/riskweir"]
CMD ["--help"]
