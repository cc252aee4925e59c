const BUCKET_US = 300_000_000;

/** A sensor as it is when a stretch begins. */
export interface CarriedValue {
  sensorId: number;
  /** Its last reading before the stretch; null where there is none. */
  lastUs: number | null;
  /** Null after an error. */
  value: number | null;
  /** How long a value may be taken to last; null: until the next reading. */
  maxHoldUs: number | null;
}

/** Figures of one sensor in one 5-minute bucket. Times are microseconds since 1970. */
export interface Bucket {
  sensorId: number;
  bucketUs: number;
  /** Known values; where there are none, all that follow are null. */
  n: number;
  sum: number | null;
  m2: number | null;
  min: number | null;
  max: number | null;
  first: number | null;
  firstUs: number | null;
  last: number | null;
  lastUs: number | null;
  /** The last reading was an error. */
  ended: boolean;
  /** How long a value was known, and the sum of value times seconds over that time. */
  heldSeconds: number;
  held: number;
}

/** Readings of one sensor in order of time: microseconds since 1970, and values, NaN for an error. */
export interface SensorReadings {
  sensorId: number;
  timesUs: Float64Array;
  values: Float64Array;
}

/** Rolls up a stretch piece by piece. */
export interface BucketRollup {
  /** Takes readings later than all that it had of the sensor. Those of a sensor that was not named are left out. */
  add(readings: SensorReadings): void;
  /** Every bucket that had a reading. */
  finish(): Bucket[];
}

/** What is known of a sensor while its readings pass by. NaN stands for no value. */
interface Passing {
  readonly maxHoldUs: number;
  atUs: number;
  value: number;
  bucketUs: number;
  n: number;
  sum: number;
  mean: number;
  m2: number;
  min: number;
  max: number;
  first: number;
  firstUs: number;
  last: number;
  lastUs: number;
  heldUs: number;
  held: number;
}

/** Creates what makes 5-minute buckets of readings in one pass, by the definition of the columns of `rollup_5m`. */
export function createBucketRollup(carried: readonly CarriedValue[]): BucketRollup {
  const sensors = new Map(carried.map((sensor) => [sensor.sensorId, begin(sensor)]));
  const buckets: Bucket[] = [];
  return {
    add({ sensorId, timesUs, values }) {
      const sensor = sensors.get(sensorId);
      if (!sensor) return;
      for (let i = 0; i < timesUs.length; i++) {
        const atUs = timesUs[i] as number;
        if (atUs >= sensor.bucketUs + BUCKET_US) {
          close(sensorId, sensor, buckets);
          open(sensor, atUs - (atUs % BUCKET_US));
        }
        hold(sensor, atUs);
        take(sensor, atUs, values[i] as number);
      }
    },
    finish() {
      for (const [sensorId, sensor] of sensors) close(sensorId, sensor, buckets);
      return buckets;
    },
  };
}

const begin = ({ lastUs, value, maxHoldUs }: CarriedValue): Passing => ({
  maxHoldUs: maxHoldUs ?? Number.POSITIVE_INFINITY,
  atUs: lastUs ?? Number.NaN,
  value: value ?? Number.NaN,
  ...EMPTY,
  bucketUs: Number.NEGATIVE_INFINITY,
});

const EMPTY = {
  n: 0,
  sum: 0,
  mean: 0,
  m2: 0,
  min: Number.POSITIVE_INFINITY,
  max: Number.NEGATIVE_INFINITY,
  first: Number.NaN,
  firstUs: Number.NaN,
  last: Number.NaN,
  lastUs: Number.NaN,
  heldUs: 0,
  held: 0,
};

function open(sensor: Passing, bucketUs: number): void {
  Object.assign(sensor, EMPTY);
  sensor.bucketUs = bucketUs;
}

/** The value of the reading before holds up to `untilUs`: counts what of that is in the bucket. */
function hold(sensor: Passing, untilUs: number): void {
  if (Number.isNaN(sensor.value)) return;
  const lengthUs = Math.min(untilUs, sensor.atUs + sensor.maxHoldUs) - Math.max(sensor.atUs, sensor.bucketUs);
  if (lengthUs <= 0) return;
  sensor.heldUs += lengthUs;
  sensor.held += sensor.value * lengthUs;
}

function take(sensor: Passing, atUs: number, value: number): void {
  sensor.atUs = atUs;
  sensor.value = value;
  if (Number.isNaN(value)) return;
  if (sensor.n === 0) {
    sensor.first = value;
    sensor.firstUs = atUs;
  }
  sensor.last = value;
  sensor.lastUs = atUs;
  sensor.n++;
  sensor.sum += value;
  // Welford's update: deviations are never the difference of two large sums
  const delta = value - sensor.mean;
  sensor.mean += delta / sensor.n;
  sensor.m2 += delta * (value - sensor.mean);
  if (value < sensor.min) sensor.min = value;
  if (value > sensor.max) sensor.max = value;
}

function close(sensorId: number, sensor: Passing, buckets: Bucket[]): void {
  const { bucketUs, n, value } = sensor;
  if (bucketUs === Number.NEGATIVE_INFINITY) return;
  hold(sensor, bucketUs + BUCKET_US);
  const known = (figure: number) => (n === 0 ? null : figure);
  buckets.push({
    sensorId,
    bucketUs,
    n,
    sum: known(sensor.sum),
    m2: known(sensor.m2),
    min: known(sensor.min),
    max: known(sensor.max),
    first: known(sensor.first),
    firstUs: known(sensor.firstUs),
    last: known(sensor.last),
    lastUs: known(sensor.lastUs),
    ended: Number.isNaN(value),
    heldSeconds: sensor.heldUs / 1e6,
    held: sensor.held / 1e6,
  });
}
