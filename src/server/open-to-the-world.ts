import { type Config, ConfigError } from "./config.ts";

/**
 * Refuses to serve everybody at an address that others can reach: without callers whoever reaches the port spends the keys behind it.
 * On loopback that is fine, elsewhere only when it is meant.
 * @param host where the port is, or is to be
 * @throws ConfigError
 */
export function refuseOpenToTheWorld(
  auth: Pick<Config["auth"], "open" | "callers">,
  host: string,
  source: string,
): void {
  if (auth.open || auth.callers.length > 0 || /^(localhost|127(\.\d+){3}|::1)$/.test(host)) return;
  const remedy = "expected auth.callers in an everhop.yaml, or auth.open: true (EVERHOP_OPEN=true) to serve everybody";
  throw new ConfigError(source, [{ path: "server.host", value: "", expected: `${host} is not loopback: ${remedy}` }]);
}
