#!/bin/sh
# Makes .env with random secrets for docker compose; never overwrites one.
set -eu
cd "$(dirname "$0")/.."
if [ -e .env ]; then
  echo ".env is there already; remove it to make new secrets" >&2
  exit 1
fi
secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
umask 077
cat > .env <<END
REDIS_PASSWORD=$(secret)
POSTGRES_PASSWORD=$(secret)
INFLUXDB_PASSWORD=$(secret)
INFLUXDB_TOKEN=$(secret)
SLUICE_PEPPER=$(secret)
END
echo "made .env; next: docker compose up -d"
