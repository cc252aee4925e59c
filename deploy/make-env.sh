#!/bin/sh
# Makes .env with random secrets for docker compose, and a certificate for MQTT over TLS. Safe to repeat: adds what a newer
# version asks for, changes nothing that is there.
set -eu
cd "$(dirname "$0")/.."
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
touch .env
added=
add() {
  if grep -q "^$1=" .env; then return; fi
  printf '%s=%s\n' "$1" "$2" >> .env
  added="$added $1"
}
add COMPOSE_PROJECT_NAME sluice
for name in REDIS_PASSWORD POSTGRES_PASSWORD \
  POSTGRES_OWNER_PASSWORD POSTGRES_GATEWAY_PASSWORD POSTGRES_WORKER_PASSWORD POSTGRES_ETL_PASSWORD \
  POSTGRES_ALERTS_PASSWORD POSTGRES_API_PASSWORD POSTGRES_READER_PASSWORD \
  INFLUXDB_PASSWORD INFLUXDB_TOKEN MOSQUITTO_PASSWORD NATS_PASSWORD SLUICE_PEPPER \
  GRAFANA_ADMIN_PASSWORD GRAFANA_SECRET_KEY; do
  add "$name" "$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"
done
add SLUICE_MQTTS_PORT "$mqtts"
add GRAFANA_ADMIN_USER admin
if [ -n "$added" ]; then echo "added to .env:$added; next: docker compose up -d"
else echo ".env has everything already"; fi
