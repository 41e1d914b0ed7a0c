/** What the upstream says to a call that is answered whole. */
export function answerText(nonce: string): string {
  return `${nonce} and not a word more.`;
}

/** What is wrong with a whole answer, in whatever encoding it came; undefined when it says what the upstream said to this call. */
export function answerProblem(bytes: Buffer, nonce: string): string | undefined {
  if (bytes.indexOf(answerText(nonce), 0, "latin1") >= 0) return undefined;
  return bytes.indexOf(nonce, 0, "latin1") < 0 ? "the nonce did not come back" : "the answer is not the upstream's";
}
