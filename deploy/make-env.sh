#!/bin/sh
# Makes .env with random secrets for docker compose, and a certificate for MQTT over TLS; never overwrites either.
set -eu
cd "$(dirname "$0")/.."
if [ -e .env ]; then
  echo ".env is there already; remove it to make new secrets" >&2
  exit 1
fi
secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
umask 077
mkdir -p .compose/tls
# Others of this machine cannot get past .compose; the container's user can read what is mounted.
chmod 755 .compose/tls
mqtts=
if [ ! -e .compose/tls/server.key ] && command -v openssl >/dev/null; then
  name=$(hostname)
  openssl req -x509 -newkey rsa:3072 -nodes -days 825 -subj "/CN=$name" -addext "subjectAltName=DNS:$name,DNS:localhost" \
    -keyout .compose/tls/server.key -out .compose/tls/server.crt 2>/dev/null
fi
if [ -e .compose/tls/server.key ]; then
  chmod 644 .compose/tls/server.key .compose/tls/server.crt
  mqtts=8883
else
  echo "no openssl: put server.crt and server.key into .compose/tls and set SLUICE_MQTTS_PORT=8883 in .env for MQTT over TLS"
fi
cat > .env <<END
COMPOSE_PROJECT_NAME=sluice
REDIS_PASSWORD=$(secret)
POSTGRES_PASSWORD=$(secret)
INFLUXDB_PASSWORD=$(secret)
INFLUXDB_TOKEN=$(secret)
MOSQUITTO_PASSWORD=$(secret)
NATS_PASSWORD=$(secret)
SLUICE_PEPPER=$(secret)
SLUICE_MQTTS_PORT=$mqtts
GRAFANA_ADMIN_USER=admin
GRAFANA_ADMIN_PASSWORD=$(secret)
GRAFANA_SECRET_KEY=$(secret)
END
echo "made .env; next: docker compose up -d"
