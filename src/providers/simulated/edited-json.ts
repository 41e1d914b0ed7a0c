/** Usage that makes no sense. */
export const rubbishUsage = { prompt_tokens: -1, completion_tokens: "many", total_tokens: 1e18 };

/** A JSON object with other fields beside or instead of its own. */
export function edited(object: string, fields: object): string {
  return JSON.stringify({ ...JSON.parse(object), ...fields });
}

/** A JSON object with one more field, the text of which is not UTF-8: a broken pair, a byte that never occurs, a surrogate. */
export function withInvalidUtf8(object: string): Uint8Array {
  const start = Buffer.from(`${object.slice(0, -1)},"vendor":"`);
  return Buffer.concat([start, Buffer.from([0xc3, 0x28, 0xff, 0xed, 0xa0, 0x80]), Buffer.from(`"}`)]);
}
