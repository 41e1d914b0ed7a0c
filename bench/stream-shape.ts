/** Events with content in a stream; the end of the answer comes after them and is not counted. */
export const eventsPerStream = 50;

/** Milliseconds between the events of a paced stream. */
export const pacedEventMs = 10;

/**
 * Walks through the content of a stream, in whatever encoding it came.
 * @returns what is wrong with it; undefined when each event holds the nonce and its own number, in order, and nothing is left over
 */
export function streamProblem(bytes: Buffer, nonce: string): string | undefined {
  let at = -1;
  for (let index = 0; index < eventsPerStream; index++) {
    at = bytes.indexOf(nonce, at + 1, "latin1");
    if (at < 0) return `event ${index} is missing`;
    const number = bytes.toString("latin1", at + nonce.length, at + nonce.length + 3);
    if (number !== `#${String(index).padStart(2, "0")}`) return `event ${index} is out of order: ${number}`;
  }
  return bytes.indexOf(nonce, at + 1, "latin1") < 0 ? undefined : "more events than were sent";
}
