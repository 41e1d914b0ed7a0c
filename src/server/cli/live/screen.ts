/** A terminal, or what stands for one. */
export interface Terminal {
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
  write(text: string): boolean;
}

/** The lower part of a terminal, redrawn in place. */
export interface Screen {
  /** Shows lines; only those that have changed are written. */
  draw(lines: readonly string[]): void;
  /** Takes the lines away, so that something else may be printed where they stood. */
  erase(): void;
  /** Empties the whole terminal: after its size has changed nobody knows what stands where. */
  clear(): void;
  /** Leaves what stands there, and goes below it. */
  leave(): void;
}

// What is between them is shown at once, where the terminal knows of it. Lines that are wider than thought must not wrap; the cursor
// hides only meanwhile, so that whatever becomes of the process the terminal is as it was.
const begin = "\x1b[?2026h\x1b[?25l\x1b[?7l";
const end = "\x1b[?7h\x1b[?25h\x1b[?2026l";
const toEndOfLine = "\x1b[K";
const toEndOfScreen = "\x1b[J";

/** Draws on a terminal. Nothing else may write to it between a drawing and the next `erase`. */
export function createScreen(terminal: Pick<Terminal, "write">): Screen {
  /** The lines that stand there; the cursor is at the end of the last one. */
  let shown: readonly string[] = [];

  function home(): string {
    return shown.length > 1 ? `\r\x1b[${shown.length - 1}A` : "\r";
  }

  return {
    draw(lines) {
      if (lines.length === shown.length && lines.every((each, index) => each === shown[index])) return;
      // The last one always: the cursor is to stand behind it.
      const isSame = (each: string, index: number) => each === shown[index] && index < lines.length - 1;
      const body = lines.map((each, index) => (isSame(each, index) ? "" : `\r${each}${toEndOfLine}`)).join("\r\n");
      const rest = lines.length < shown.length ? toEndOfScreen : "";
      terminal.write(`${begin}${home()}${body}${rest}${end}`);
      shown = lines;
    },
    erase() {
      if (shown.length > 0) terminal.write(`${home()}${toEndOfScreen}`);
      shown = [];
    },
    clear() {
      terminal.write(`\x1b[H${toEndOfScreen}`);
      shown = [];
    },
    leave() {
      if (shown.length > 0) terminal.write("\r\n");
      shown = [];
    },
  };
}
