import { constants, fstatSync, openSync, write } from "node:fs";
import type { Outlet } from "../telemetry/log/line-writer.ts";

/** Standard output, or standard error, as something that lines are written to and that never keeps the process waiting. */
export function standardOutlet(stream: NodeJS.WriteStream & { readonly fd: 1 | 2 }): Outlet {
  // Node waits for a terminal, which a person may have stopped, and for a file.
  if (stream.isTTY) {
    const own = openTerminal(stream.fd);
    if (own !== undefined) return fileOutlet(own);
  } else if (fstatSync(stream.fd).isFile()) {
    return fileOutlet(stream.fd);
  }
  return {
    write(bytes, done) {
      stream.write(bytes, (error) => done(error ?? null, error ? 0 : bytes.length));
    },
    close() {},
  };
}

function fileOutlet(fd: number): Outlet {
  return {
    write: (bytes, done) => write(fd, bytes, done),
    close() {},
  };
}

/** The terminal once more, for ourselves: what has it in common with us, our shell, is not to find that writes do not wait. */
function openTerminal(fd: number): number | undefined {
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    // Not everywhere is there such a name, and not every terminal may be opened by whoever was handed it.
    return undefined;
  }
}
