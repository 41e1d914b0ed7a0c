/** Events with content in a stream; the end of the answer comes after them and is not counted. */
export const eventsPerStream = 50;

/** Events of a stream that falls silent after its first one, until the upstream is told to go on. */
export const eventsPerSilentStream = 2;

/** Milliseconds between the events of a paced stream. */
export const pacedEventMs = 10;

/** The content of one event. */
export function eventText(nonce: string, index: number): string {
  return `${nonce}#${String(index).padStart(2, "0")} `;
}

/**
 * Walks through the content of a stream, in whatever encoding it came.
 * @returns what is wrong with it; undefined when each event holds the nonce and its own number, in order, and nothing is left over
 */
export function streamProblem(bytes: Buffer, nonce: string, events = eventsPerStream): string | undefined {
  let at = -1;
  for (let index = 0; index < events; index++) {
    const due = eventText(nonce, index);
    at = bytes.indexOf(nonce, at + 1, "latin1");
    if (at < 0) return index === 0 ? "the nonce did not come back" : `event ${index} is missing`;
    const found = bytes.toString("latin1", at, at + due.length);
    if (found !== due) return `event ${index} is not the one that was due: ${found.slice(nonce.length)}`;
  }
  return bytes.indexOf(nonce, at + 1, "latin1") < 0 ? undefined : "more events than were sent";
}
