/** A JSON object to be sent. */
export type Json = Readonly<Record<string, unknown>>;

/** Asks for a chat completion: by an object, or by a body as it is to go over the wire. */
export function postChat(
  address: string,
  body: Json | string,
  { headers, ...init }: { headers?: Readonly<Record<string, string>>; signal?: AbortSignal } = {},
): Promise<Response> {
  return fetch(`${address}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
    ...init,
  });
}

/** What the events of a stream hold, as they come; comments are passed over. */
export async function* readSse(response: Response): AsyncGenerator<string> {
  if (!response.body) throw new Error("an answer without a body");
  let rest = "";
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    rest += piece;
    const events = rest.split(/\r\n\r\n|\n\n|\r\r/);
    rest = events.pop() ?? "";
    yield* events.flatMap(dataOf);
  }
  if (rest !== "") throw new Error(`the stream ended inside of an event: ${rest}`);
}

function dataOf(event: string): string[] {
  const lines = event.split(/\r\n|\n|\r/).filter((line) => line.startsWith("data:"));
  return lines.length === 0 ? [] : [lines.map((line) => line.slice(line[5] === " " ? 6 : 5)).join("\n")];
}

/** All of them, when the stream has ended. */
export async function readAll(response: Response): Promise<string[]> {
  const events: string[] = [];
  for await (const data of readSse(response)) events.push(data);
  return events;
}
