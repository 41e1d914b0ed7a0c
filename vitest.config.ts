import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    setupFiles: ["test/support/setup.ts"],
    // Real servers and clients start in many of them, on machines that may be busy.
    testTimeout: 30_000,
  },
});
