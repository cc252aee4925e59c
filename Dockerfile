# One image for every service: the command says which one runs.
#   docker build -t sluice .        docker run sluice services/stream-worker
FROM node:20.20-bookworm-slim AS build
WORKDIR /app
ENV CI=true
RUN npm install --global pnpm@10.34.8
COPY . .
RUN pnpm install --frozen-lockfile \
 && pnpm build \
 && CI=true pnpm prune --prod \
 && find . -name '*.tsbuildinfo' -delete

FROM node:20.20-bookworm-slim
WORKDIR /app
ENV NODE_ENV=production
COPY --from=build --chown=root:root /app/package.json /app/pnpm-workspace.yaml ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/packages packages
COPY --from=build /app/services services
COPY --from=build /app/apps apps
USER node
ENTRYPOINT ["/bin/sh", "-c", "exec node \"/app/$0/dist/main.js\" \"$@\""]
CMD ["services/ingest-gateway"]
