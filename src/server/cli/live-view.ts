import { styleText } from "node:util";
import type { RouteObserver } from "../../routing/observer.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Gateway } from "../compose.ts";
import type { TrafficTally } from "./demo/traffic.ts";
import { createFeed } from "./live/feed.ts";
import { type LiveState, liveFrame } from "./live/frame.ts";
import { type Line, textWidth } from "./live/line.ts";
import { pulseSeconds } from "./live/pulse.ts";
import { createScreen } from "./live/screen.ts";
import { endpointStandings } from "./live/standing.ts";

/** What a live view shows, beside the requests that it watches. */
export interface LiveSubject {
  readonly gateway: Pick<Gateway, "catalog" | "state">;
  readonly address: string;
  /** Of callers of our own. */
  readonly callers?: TrafficTally | undefined;
  /** Printed above it; printed again where there is room for it, when the terminal has another size. */
  readonly banner: string;
  /** What to do, in a line; undefined: nothing in particular. */
  readonly footer: string | undefined;
}

/** A view of endpoints and requests in the terminal, in place of lines. */
export interface LiveView {
  readonly observer: RouteObserver;
  /** Begins to draw. */
  show(subject: LiveSubject): void;
  /** Draws for a last time, and gives the terminal back. Harmless when called twice, or before it was shown. */
  stop(): void;
}

/** No more than five times a second: faster is not seen, only paid for. */
const redrawMs = 200;
/** Of terminals that do not say. */
const usual = { columns: 80, rows: 24 };
/** With fewer lines left below the banner, the view takes the whole terminal. */
const leastRows = 16;

/** Whether a view suits: somebody looks, and can be shown one. */
export function suitsLive(
  { isTTY }: { readonly isTTY?: boolean },
  env: Readonly<Record<string, string | undefined>>,
): boolean {
  return isTTY === true && !env["NO_COLOR"] && !env["CI"] && env["TERM"] !== "dumb";
}

/** Makes a live view. Until it is shown it only watches. */
export function createLiveView(clock: Clock): LiveView {
  const feed = createFeed(clock);
  let stopDrawing = () => {};
  return {
    observer: feed.observer,
    show(subject) {
      const startedAt = clock.now();
      const { stdout, stderr } = process;
      const ownWrite = stdout.write.bind(stdout);
      const screen = createScreen({ write: (text) => ownWrite(text) });

      function draw(): void {
        const { columns = usual.columns, rows = usual.rows } = stdout;
        const now = clock.now();
        const state: LiveState = {
          address: subject.address,
          uptimeMs: now - startedAt,
          counts: feed.counts,
          beats: feed.beats(pulseSeconds),
          endpoints: endpointStandings(subject.gateway, feed, now),
          items: feed.items,
          callers: subject.callers,
          footer: `Ctrl-C ends. ${subject.footer ?? ""}`,
        };
        const left = rows - rowsOf(subject.banner, columns);
        const height = left >= leastRows ? left : rows;
        screen.draw(liveFrame(state, columns, height, clock.wallTime()).map(painted));
      }

      let disarm = clock.schedule(0, tick);
      function tick(): void {
        draw();
        disarm = clock.schedule(redrawMs, tick);
      }

      // Whatever else the program prints stands above the view, whoever prints it.
      const restore = [stdout, stderr].map((stream) => printAbove(stream, screen.erase, draw));
      const onResize = () => {
        screen.clear();
        const { columns = usual.columns, rows = usual.rows } = stdout;
        if (rows - rowsOf(subject.banner, columns) >= leastRows) ownWrite(subject.banner);
        draw();
      };
      const onContinue = () => {
        // The shell has written since.
        screen.leave();
        draw();
      };
      stdout.on("resize", onResize);
      process.on("SIGCONT", onContinue);
      process.on("exit", stop);
      stopDrawing = stop;

      function stop(): void {
        stopDrawing = () => {};
        disarm();
        stdout.off("resize", onResize);
        process.off("SIGCONT", onContinue);
        process.off("exit", stop);
        for (const each of restore) each();
        draw();
        screen.leave();
      }
    },
    stop: () => stopDrawing(),
  };
}

/** How many rows of a terminal a text takes, its long lines wrapped. */
function rowsOf(text: string, columns: number): number {
  const lines = text.replace(/\n$/, "").split("\n");
  return lines.reduce((sum, each) => sum + Math.max(1, Math.ceil(textWidth(each) / columns)), 0);
}

function painted(line: Line): string {
  return line.map(({ text, style }) => (style ? styleText(style, text) : text)).join("");
}

/**
 * Lets a stream print above the view.
 * @returns how to let it print as before
 */
function printAbove(stream: NodeJS.WriteStream, erase: () => void, draw: () => void): () => void {
  const original = stream.write;
  const write = original.bind(stream) as (...args: unknown[]) => boolean;
  const above = (...args: unknown[]): boolean => {
    const [chunk] = args;
    erase();
    const isTaken = write(...args);
    if (typeof chunk === "string" && !chunk.endsWith("\n")) write("\n");
    draw();
    return isTaken;
  };
  stream.write = above;
  return () => {
    stream.write = original;
  };
}
