/** The course of a number, without axes: `values` from old to new. */
export function Spark({ values, label }: { values: readonly (number | null)[]; label: string }) {
  const known = values.filter((value) => value !== null);
  const min = Math.min(...known);
  const height = Math.max(...known) - min;
  const step = 100 / Math.max(1, values.length - 1);
  const yOf = (value: number) => (height === 0 ? 16 : 30 - (28 * (value - min)) / height);
  const points = values.flatMap((value, index) =>
    value === null ? [] : [`${(index * step).toFixed(1)},${yOf(value).toFixed(1)}`],
  );
  return (
    <svg className="spark" viewBox="0 0 100 32" preserveAspectRatio="none" role="img" aria-label={label}>
      {points.length > 1 && (
        <polyline
          points={points.join(" ")}
          fill="none"
          stroke="currentColor"
          strokeWidth="1.5"
          vectorEffect="non-scaling-stroke"
        />
      )}
    </svg>
  );
}
