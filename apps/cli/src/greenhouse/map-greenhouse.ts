import { FileError } from "../csv/open-csv.ts";
import type { TableMap } from "../csv/table-map.ts";
import { mapGreenhouseHeader } from "./header.ts";

/**
 * The map of a greenhouse export: an unnamed first column of local times, every other named column a series.
 * @throws FileError where the header is no such header
 */
export function mapGreenhouse(
  path: string,
  header: readonly string[],
  options: { prefix: string; step?: string },
): TableMap {
  const columns = mapGreenhouseHeader(header, options);
  if (columns.length === 0) {
    throw new FileError(
      `${path}, line 1: no series in the header. Expected an unnamed time column, then e.g. 'Sensor A (1) - Humidity (%) - averages'`,
    );
  }
  return { timeColumn: 0, columns, numbers: { decimal: "." }, width: header.length };
}
