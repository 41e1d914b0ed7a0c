import type { ConnectRouter } from "@connectrpc/connect";

/** What a server is to be like. */
export interface HostOptions {
  readonly isHttp2: boolean;
  /** PEM; with a `clientCa` callers must show a certificate that it has signed. */
  readonly tls: { readonly cert: string; readonly key: string; readonly clientCa?: string } | undefined;
  /** Longest message, in bytes; undefined: as long as the server would take. */
  readonly maxMessageBytes: number | undefined;
}

/** Serves routes on loopback until the process ends. @returns the port */
export type Host = (routes: (router: ConnectRouter) => void, options: HostOptions) => Promise<number>;
