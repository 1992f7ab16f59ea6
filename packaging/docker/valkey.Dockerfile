# Debian's Valkey with SessionGate: 8.1, or 9.1 with --build-arg DEBIAN=sid. Build it in the top directory
# of the tree:
#
#     docker build -t sessiongate-valkey -f packaging/docker/valkey.Dockerfile .
#     docker run -d --name sessions -p 127.0.0.1:6379:6379 -v sessions:/data sessiongate-valkey
#
# The data are in /data, the configuration is server.conf beside this file.

ARG DEBIAN=trixie

FROM docker.io/library/debian:${DEBIAN}-slim AS build
COPY . /src
RUN cd /src && packaging/build

FROM docker.io/library/debian:${DEBIAN}-slim
COPY --from=build /src/build/packages/*.deb /tmp/
RUN apt-get update \
    && apt-get install -y --no-install-recommends valkey-server /tmp/*.deb \
    && rm -rf /tmp/*.deb /var/lib/apt/lists/* \
    && install -d -o valkey -g valkey /data
COPY packaging/docker/server.conf /etc/sessiongate/server.conf
USER valkey
WORKDIR /data
VOLUME /data
EXPOSE 6379
HEALTHCHECK CMD valkey-cli ping | grep -qE '^(PONG|NOAUTH)'
ENTRYPOINT ["valkey-server", "/etc/sessiongate/server.conf"]
