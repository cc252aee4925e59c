# One image for every service: the command says which one runs.
#   docker build -t sluice .        docker run sluice services/stream-worker
FROM node:20.20-bookworm-slim AS build
WORKDIR /app
ENV CI=true
RUN npm install --global pnpm@10.34.8
# Packages change less often than sources: this layer stays.
COPY pnpm-lock.yaml pnpm-workspace.yaml package.json ./
RUN pnpm fetch
COPY . .
RUN pnpm install --offline --frozen-lockfile
RUN pnpm exec tsc -b services/* apps/* && npm --prefix apps/console run build
RUN rm -rf node_modules packages/*/node_modules services/*/node_modules apps/*/node_modules e2e bench
RUN pnpm install --offline --prod --frozen-lockfile --filter "{./services/*}..." --filter @sluice/cli...
RUN rm -rf packages/*/src packages/*/test services/*/src services/*/test apps/*/src apps/*/test && find packages services apps -name '*.tsbuildinfo' -exec rm {} +

FROM node:20.20-bookworm-slim AS service
WORKDIR /app
ENV NODE_ENV=production
COPY --from=build /app/package.json /app/pnpm-workspace.yaml ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/packages packages
COPY --from=build /app/services services
COPY --from=build /app/apps apps
COPY --from=build /app/packs packs
USER node
ENTRYPOINT ["/bin/sh", "-c", "exec node --enable-source-maps \"/app/$0/dist/main.js\" \"$@\""]
CMD ["services/ingest-gateway"]

# The same with pg_dump and pg_restore of the server's version, for backup and restore.
FROM service AS tools
USER root
RUN apt-get update && apt-get install -y --no-install-recommends postgresql-client-15 && rm -rf /var/lib/apt/lists/*
USER node
WORKDIR /app
ENTRYPOINT ["node", "/app/apps/cli/dist/main.js"]
CMD ["--help"]

FROM service
