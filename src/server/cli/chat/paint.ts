import { styleText } from "node:util";

/** Colours a text, where somebody looks at it. */
export type Paint = (style: "dim" | "green" | "red" | "yellow" | "bold", text: string) => string;

/** Colours for what goes to standard error: none when it is no terminal, or wants none. */
export const paint: Paint = (style, text) => styleText(style, text, { stream: process.stderr });
