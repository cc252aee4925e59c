import { openTable, type Table } from "../csv/open-table.ts";
import type { TimeBounds } from "../csv/read-row.ts";
import { mapGreenhouse } from "../greenhouse/map-greenhouse.ts";
import { findStep } from "../greenhouse/step.ts";

/** How to read a greenhouse export. */
export interface GreenhouseOptions {
  prefix: string;
  timeZone: string;
  bounds: TimeBounds;
  /** Step of the series; found from the times where absent. */
  step?: string;
}

/** Opens a greenhouse export. @throws FileError */
export function openGreenhouse(path: string, options: GreenhouseOptions): Promise<Table> {
  const { timeZone, bounds } = options;
  return openTable(path, {
    delimiter: ",",
    encoding: "utf-8",
    headerRows: 1,
    timeZone,
    bounds,
    map: (header, firstTimesUs) => {
      const step = options.step ?? findStep(firstTimesUs(0));
      return mapGreenhouse(path, header, { prefix: options.prefix, ...(step === undefined ? {} : { step }) });
    },
  });
}
