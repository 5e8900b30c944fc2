import { defineConfig } from 'vitest/config'

// Tests run real processes: two files at a time is what a small machine bears, and time-outs are generous
// because the same suite also runs where other work is going on.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 30_000,
    globalSetup: ['test/setup/leaks.ts'],
    setupFiles: ['test/setup/home.ts'],
    passWithNoTests: true,
  },
})
