/** A day of a log, with how many rows it has now, and how many when a job finished it; undefined where it never did. */
export interface LogDay {
  readonly dayMs: number;
  readonly rows: number;
  readonly doneRows: number | undefined;
}

/**
 * The days that a job has to do: those it has not finished, those whose log has changed since, and after each of these all
 * days through the next one with rows, into which its last values are carried. `days` are in order, without holes.
 */
export function dueDays(days: readonly LogDay[]): number[] {
  let carried = false;
  return days
    .filter(({ rows, doneRows }) => {
      const changed = doneRows !== undefined && doneRows !== rows;
      const due = doneRows === undefined || changed || carried;
      carried = changed || (carried && rows === 0);
      return due;
    })
    .map(({ dayMs }) => dayMs);
}
