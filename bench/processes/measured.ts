/**
 * Preloaded into every process that is measured: tells the CPU time of the process over IPC when asked, and ends the process when
 * whoever started it is gone.
 */

/** What a measured process tells when asked. */
export interface CpuReport {
  /** User and system time since its start, in microseconds. */
  readonly cpuUs: number;
}

process.on("message", (message) => {
  if (message !== "cpu") return;
  const { user, system } = process.cpuUsage();
  process.send?.({ cpuUs: user + system } satisfies CpuReport);
});
process.on("disconnect", () => process.exit());
// The channel alone must not keep a process alive that has stopped serving.
process.channel?.unref();
