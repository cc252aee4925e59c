import { readFileSync } from "node:fs";
import { type Finding, fine, problem, warning } from "./finding.ts";

const LOOPBACK = /^(127\.|localhost$|::1$)/;

/** Judges a mosquitto.conf: what lets strangers in and what loses messages that were acknowledged. */
export function checkMosquitto(path: string): Finding[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const found = `cannot be read: ${error instanceof Error ? error.message : String(error)}`;
    return [problem("mosquitto", found, "give the path of its configuration with --mosquitto-conf")];
  }
  return judgeMosquitto(text);
}

/** The judgement of {@link checkMosquitto} on the text itself. */
export function judgeMosquitto(text: string): Finding[] {
  const settings = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split(/\s+/));
  const last = (name: string) =>
    settings
      .filter(([key]) => key === name)
      .at(-1)
      ?.slice(1);
  const findings = [...checkAccess(settings), ...checkQueue(last("max_queued_messages")?.[0])];
  if (last("persistence")?.[0] !== "true") {
    const mend =
      "persistence true, persistence_location, and autosave_on_changes true with autosave_interval 1";
    findings.push(problem("mosquitto persistence", "off: queued messages are lost when it ends", mend));
  } else if (last("autosave_on_changes")?.[0] !== "true") {
    const mend =
      "autosave_on_changes true with autosave_interval 1 (one write a change; see docs/external-broker.md)";
    findings.push(
      warning("mosquitto autosave", "a kill loses what came since the last save (30 minutes)", mend),
    );
  }
  return findings.length > 0 ? findings : [fine("mosquitto", "no strangers, queue and persistence set")];
}

/** Settings before the first listener count for all; with `per_listener_settings` those after it for that one. */
function checkAccess(settings: readonly string[][]): Finding[] {
  const open = exposedListeners(settings);
  const anonymous = settings.some(([key, value]) => key === "allow_anonymous" && value === "true");
  if (open.length === 0 || !anonymous) return [];
  const found = `allow_anonymous true while listening on ${open.join(", ")}: anybody may publish`;
  return [
    problem(
      "mosquitto access",
      found,
      "allow_anonymous false with password_file and acl_file, or bind the listener to 127.0.0.1",
    ),
  ];
}

/** Without any listener Mosquitto 2 serves loopback only. */
function exposedListeners(settings: readonly string[][]): string[] {
  const open: string[] = [];
  for (const [key, port, address] of settings) {
    if (key === "port") open.push(`port ${port} of every address`);
    if (key !== "listener" || port === undefined || port === "0") continue;
    if (address === undefined || !LOOPBACK.test(address))
      open.push(`port ${port} of ${address ?? "every address"}`);
  }
  return open;
}

function checkQueue(value: string | undefined): Finding[] {
  const mend = "max_queued_messages 100000 (0 is no limit) and max_queued_bytes within your memory";
  if (value === undefined) {
    const found =
      "max_queued_messages is the default of 1000: what comes beyond it while Sluice is away is lost though acknowledged";
    return [problem("mosquitto queue", found, mend)];
  }
  return Number(value) !== 0 && Number(value) < 10_000
    ? [warning("mosquitto queue", `max_queued_messages ${value} is soon full`, mend)]
    : [];
}
