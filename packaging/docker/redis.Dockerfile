# Debian's Redis 7.0 with SessionGate. Build it in the top directory of the tree:
#
#     docker build -t sessiongate-redis -f packaging/docker/redis.Dockerfile .
#     docker run -d --name sessions -p 127.0.0.1:6379:6379 -v sessions:/data sessiongate-redis
#
# The data are in /data, the configuration is server.conf beside this file.

ARG DEBIAN=bookworm

FROM docker.io/library/debian:${DEBIAN}-slim AS build
COPY . /src
RUN cd /src && packaging/build

FROM docker.io/library/debian:${DEBIAN}-slim
COPY --from=build /src/build/packages/*.deb /tmp/
RUN apt-get update \
    && apt-get install -y --no-install-recommends redis-server /tmp/*.deb \
    && rm -rf /tmp/*.deb /var/lib/apt/lists/* \
    && install -d -o redis -g redis /data
COPY packaging/docker/server.conf /etc/sessiongate/server.conf
USER redis
WORKDIR /data
VOLUME /data
EXPOSE 6379
HEALTHCHECK CMD redis-cli ping | grep -qE '^(PONG|NOAUTH)'
ENTRYPOINT ["redis-server", "/etc/sessiongate/server.conf"]
