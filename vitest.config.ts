import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    // Most of them wait for sockets and programs most of the time.
    maxWorkers: 2,
    setupFiles: ["test/support/setup.ts"],
    // Real servers and clients start in many of them, on machines that may be busy.
    testTimeout: 30_000,
  },
});
