import type { Entry } from "@sluice/bus";
import {
  decodeMessage,
  InvalidInputError,
  type Telemetry,
  type TimedSample,
  type Value,
} from "@sluice/shared-types";
import { BLANK, type Change, type JudgedReading, judge, type SensorState } from "./judge.ts";
import type { KnownDevice, Watch } from "./rule-book.ts";

/** A message, or undefined where it cannot be read: group `postgres` keeps that one in quarantine. */
export type ReadMessage = Telemetry | undefined;

/** Reads what an entry carries. */
export function readEntry({ messages }: Entry): ReadMessage[] {
  return messages.map((text) => {
    try {
      const message = decodeMessage(text);
      return Number.isSafeInteger(message.receivedUs) ? message : undefined;
    } catch (error) {
      if (error instanceof InvalidInputError) return undefined;
      throw error;
    }
  });
}

/** The readings of a batch that are watched, per sensor in order of arrival. */
export interface WatchedReadings {
  device: KnownDevice;
  watch: Watch;
  readings: JudgedReading[];
}

/** Picks out what is watched. Readings older than `maxAgeUs` when they arrived raise nothing. */
export function pickReadings(
  messages: readonly Telemetry[],
  devices: ReadonlyMap<string, KnownDevice>,
  maxAgeUs: number,
): Map<number, WatchedReadings> {
  const picked = new Map<number, WatchedReadings>();
  for (const message of messages) {
    const device = devices.get(message.device);
    if (!device) continue;
    const aheadUs = Math.max(0, ...message.samples.map(({ timeUs }) => timeUs - message.receivedUs));
    for (const sample of message.samples) {
      if (!Number.isSafeInteger(sample.timeUs)) continue;
      for (const { field, value } of sample.readings) {
        const watch = device.fields.get(field);
        if (!watch) continue;
        const number = toNumber(value, watch);
        if (number === undefined) continue;
        const of = picked.get(watch.sensor.id) ?? { device, watch, readings: [] };
        of.readings.push(toReading(message, sample, number + watch.sensor.offset, aheadUs, maxAgeUs));
        picked.set(watch.sensor.id, of);
      }
    }
  }
  return picked;
}

function toReading(
  message: Telemetry,
  { timeUs }: TimedSample,
  value: number,
  aheadUs: number,
  maxAgeUs: number,
): JudgedReading {
  const { receivedUs } = message;
  const correction = message.correction === true;
  const live = isLive(message);
  const ruleTimeUs = timeUs - aheadUs;
  return {
    timeUs,
    ruleTimeUs,
    value,
    live,
    correction,
    current: live && receivedUs - ruleTimeUs <= maxAgeUs,
  };
}

/** What a device says now, not what somebody brings in of it. */
const isLive = ({ source, correction, tombstone }: Telemetry) =>
  source !== "import" && source !== "replay" && correction === undefined && tombstone === undefined;

/** As stream-worker stores it, where it is a number. */
function toNumber(value: Value, { sensor }: Watch): number | undefined {
  if (typeof value === "boolean") return value ? 1 : 0;
  const number =
    typeof value === "string" && sensor.valueType === "number" && value !== "" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : undefined;
}

/** Judges every reading, from what was remembered; changes come in order, sensor by sensor. */
export function judgeReadings(
  picked: ReadonlyMap<number, WatchedReadings>,
  remembered: ReadonlyMap<number, SensorState>,
): { states: Map<number, SensorState>; changes: Change[] } {
  const states = new Map<number, SensorState>();
  const changes: Change[] = [];
  for (const [sensorId, { device, watch, readings }] of picked) {
    let state = remembered.get(sensorId) ?? BLANK;
    for (const reading of readings) {
      const judged = judge(device, watch, state, reading);
      state = judged.state;
      changes.push(...judged.changes);
    }
    states.set(sensorId, state);
  }
  return { states, changes };
}

const OFFLINE = new Set(["offline", "lwt"]);

/** When a device was last heard in a batch, and since when it has said itself that it is offline. */
export interface Heard {
  deviceId: number;
  seenUs: number;
  offlineUs: number | null;
}

/** The devices that live messages came from, by id: the last word of each holds. */
export function listenFor(
  messages: readonly Telemetry[],
  devices: ReadonlyMap<string, KnownDevice>,
): Map<number, Heard> {
  const heard = new Map<number, Heard>();
  for (const message of messages) {
    const device = devices.get(message.device);
    if (!device || !isLive(message)) continue;
    const before = heard.get(device.id);
    const { receivedUs } = message;
    // a last will tells when the connection was found broken, not that the device was heard
    const offlineUs = saysOffline(message) ? receivedUs : null;
    const seenUs = offlineUs === null ? receivedUs : (before?.seenUs ?? receivedUs);
    heard.set(device.id, { deviceId: device.id, seenUs, offlineUs });
  }
  return heard;
}

/** `status/offline`, a last will, `status/connectivity {connected: false}`, or any `{status: "offline"}`. */
function saysOffline({ kind, type, samples }: Telemetry): boolean {
  if (kind !== "status" || type === "online" || type === "heartbeat") return false;
  if (OFFLINE.has(type)) return true;
  return (samples.at(-1)?.readings ?? []).some(
    ({ field, value }) =>
      (field === "connected" && value === false) || (field === "status" && value === "offline"),
  );
}
