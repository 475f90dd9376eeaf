// How StrykerJS mutates the model and the plan. Paths are from the root of the checkout, where `npm run mutate` starts it.
// Everything Stryker writes goes to mutation/temp and mutation/report, which git ignores.

const PERCENT_WANTED = 90;

export default {
  mutate: ['src/{model,plan}/*.ts', '!src/**/*.test.ts'],
  testRunner: 'vitest',
  plugins: ['@stryker-mutator/vitest-runner'],
  vitest: { configFile: 'mutation/vitest.config.mjs', related: false },
  // TypeScript 7 has no API for JavaScript, with which Stryker would adapt tsconfig.json to its sandbox; nothing here needs that. A file that
  // does not exist turns it off.
  tsconfigFile: 'mutation/no-tsconfig.json',
  coverageAnalysis: 'perTest',
  concurrency: 2,
  // An endless loop is stopped by its count of hits; the clock is only for what hangs otherwise, and must not kill on a busy machine.
  timeoutMS: 15_000,
  tempDirName: 'mutation/temp',
  cleanTempDir: 'always',
  ignorePatterns: ['/dist', '/results', '/mutation/report'],
  // Where lines cannot be written over, a line every ten seconds.
  reporters: [process.stdout.isTTY ? 'progress' : 'progress-append-only', 'clear-text', 'json'],
  clearTextReporter: { allowColor: false, allowEmojis: false, logTests: false, reportTests: false },
  jsonReporter: { fileName: 'mutation/report/mutation.json' },
  thresholds: { high: 95, low: PERCENT_WANTED, break: PERCENT_WANTED },
  allowConsoleColors: false,
};
