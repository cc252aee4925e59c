// Telemetry from the bus in; points in InfluxDB out, acknowledged once InfluxDB has confirmed them.
import { consumeParked, openBus } from "@sluice/bus";
import { createPointWriter, openInflux } from "@sluice/influx";
import { runService } from "@sluice/service-kit";
import { Config } from "./config.ts";
import { consumePartitions } from "./consume-partitions.ts";
import { openDeviceDirectory } from "./device-tags.ts";
import { openErasures } from "./erasures.ts";
import { createFirstValues } from "./first-values.ts";
import { influxOptions } from "./influx-options.ts";
import { openParkedSource } from "./parked-source.ts";
import { createReject } from "./rejection.ts";
import { createSeriesBudget } from "./series-budget.ts";
import { createTagHistory } from "./tag-history.ts";
import { createWriteBatch } from "./write-batch.ts";
import { createWriteMetrics } from "./write-metrics.ts";

await runService("influx-writer", Config, async ({ config, log, metrics, signal, use, started }) => {
  const bus = use("bus", await openBus(config.BUS_URL ?? config.REDIS_URL, { log }));
  const directory = use("directory", openDeviceDirectory(config.DATABASE_URL, log));
  const influx = use("influx", openInflux(influxOptions(config)));
  const parked = use("parked", openParkedSource(config.DATABASE_URL));
  const writeBatch = createWriteBatch({
    influxVersion: influx.version,
    points: createPointWriter(influx, config.INFLUXDB_BATCH_SIZE),
    batchSize: config.INFLUXDB_BATCH_SIZE,
    directory,
    tagHistory: createTagHistory(),
    budget: createSeriesBudget(config.SLUICE_SENSOR_BUDGET),
    firstValues: createFirstValues(5_000),
    erasures: use("erasures", openErasures(influx, config.DATABASE_URL, log)),
    reject: createReject(bus),
    onWritten: createWriteMetrics(metrics, log),
  });
  started();
  await Promise.all([
    consumePartitions(bus, config, { ...writeBatch, signal, log }),
    consumeParked(bus, { ...writeBatch, take: parked.take, signal, log }),
  ]);
});
