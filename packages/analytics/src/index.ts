export * from "./conditions.ts";
export * from "./moments.ts";
export * from "./psychrometrics.ts";
export * from "./site-day.ts";
export * from "./time-weighted.ts";
export * from "./z-score.ts";
