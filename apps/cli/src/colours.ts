import picocolors from "picocolors";
import { environment } from "./environment.ts";

const forced = environment.FORCE_COLOR !== undefined && environment.FORCE_COLOR !== "0";
const refused = environment.NO_COLOR !== undefined && environment.NO_COLOR !== "";

/** Colours where a person looks: on a terminal, or when asked for; never into a pipe, whatever CI says. */
export const pc = picocolors.createColors(!refused && (forced || process.stdout.isTTY === true));
