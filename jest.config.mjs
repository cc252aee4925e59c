const full = process.env.TEST_FULL === "1";

/** One jest project for the whole workspace: TypeScript through swc, ES modules, `source` exports. */
export default {
  testEnvironment: "node",
  testEnvironmentOptions: { customExportConditions: ["source", "node", "node-addons"] },
  extensionsToTreatAsEsm: [".ts"],
  transform: {
    "^.+\\.ts$": [
      "@swc/jest",
      { jsc: { parser: { syntax: "typescript" }, target: "es2022" }, module: { type: "es6" } },
    ],
  },
  globalSetup: "<rootDir>/scripts/jest-global-setup.mjs",
  globalTeardown: "<rootDir>/scripts/jest-global-teardown.mjs",
  testMatch: ["{packages,services,apps}/*/{src,test}", "e2e", "bench"].map(
    (folder) => `<rootDir>/${folder}/**/*${full ? ".full" : ""}.test.ts`,
  ),
  testPathIgnorePatterns: ["/node_modules/", "/dist/", ...(full ? [] : ["\\.full\\.test\\.ts$"])],
  modulePathIgnorePatterns: ["/dist/", "/\\.sluice/"],
  // Only a test that hangs may meet it: how long things take is asserted where it matters.
  testTimeout: full ? 600_000 : 180_000,
  maxWorkers: 2,
};
