# Caddy with the multi-session gateway, as an image:
#
#     docker build -f xcaddy.Dockerfile -t caddy-multi-session .
#     docker run -p 80:80 -p 443:443 -v ./Caddyfile:/etc/caddy/Caddyfile:ro -v caddy-data:/data caddy-multi-session
#
# /data holds certificates and sessions, and must be a volume that stays.

FROM golang:1.26-alpine AS build
RUN go install github.com/caddyserver/xcaddy/cmd/xcaddy@v0.4.5
WORKDIR /src
COPY . .
ENV CGO_ENABLED=0
RUN xcaddy build v2.11.9 \
    --with github.com/caddy-multi-session/gateway@v0.0.0=. \
    --output /out/caddy

FROM alpine:3.22
RUN apk add --no-cache ca-certificates libcap-setcap mailcap && \
    addgroup -S -g 1000 caddy && \
    adduser -S -D -H -u 1000 -G caddy -h /data caddy && \
    mkdir -p /data /config /etc/caddy && \
    chown caddy:caddy /data /config
COPY --from=build /out/caddy /usr/bin/caddy
# So that a process that is not root can listen on 80 and 443.
RUN setcap cap_net_bind_service=+ep /usr/bin/caddy && apk del libcap-setcap
ENV XDG_DATA_HOME=/data XDG_CONFIG_HOME=/config
USER caddy
WORKDIR /data
EXPOSE 80 443 443/udp
VOLUME /data /config
# By default the admin endpoint is asked, which listens inside the container only and answers once a
# configuration is active. To ask the gateway itself, set HEALTH_URL to <prefix>/ok at the container's
# loopback, such as http://127.0.0.1:8080/.auth/ok, and HEALTH_HOST to the site's host.
ENV HEALTH_URL=http://127.0.0.1:2019/config/ HEALTH_HOST=127.0.0.1:2019
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD wget -q -O /dev/null --header "Host: $HEALTH_HOST" "$HEALTH_URL" || exit 1
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
