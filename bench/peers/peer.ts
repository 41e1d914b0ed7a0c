import type { Peer } from "../via.ts";
import type { Program } from "./program.ts";

/** A program that stands beside the gateway in the figures. */
export interface PeerProgram {
  readonly name: Peer;
  /** Undefined when it is not installed. */
  find(): { readonly path: string; readonly version: string } | undefined;
  /**
   * Sets it up as a plain proxy before the upstream.
   * @param path where it was found
   * @param folder where it may write
   */
  prepare(path: string, folder: string, upstreamOrigin: string): Promise<Program>;
}
