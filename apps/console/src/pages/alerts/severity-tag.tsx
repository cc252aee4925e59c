import type { Severity } from "../../api/types/alert.ts";
import { Tag, type Tone } from "../../parts/notice.tsx";

const TONES: Record<Severity, Tone> = { info: "plain", warning: "warn", critical: "bad", emergency: "bad" };

/** All severities, the least first. */
export const SEVERITIES: readonly Severity[] = ["info", "warning", "critical", "emergency"];

/** How bad it is. */
export const SeverityTag = ({ severity }: { severity: Severity }) => (
  <Tag tone={TONES[severity]}>{severity}</Tag>
);
