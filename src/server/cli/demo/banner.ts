import { trafficCallers } from "./traffic-callers.ts";

/** Commands that work as they stand in this folder, each in a line of its own. */
export function demoCommands(address: string): readonly string[] {
  const rest = `${address}/v1/chat/completions -H 'content-type: application/json'`;
  const asked = (text: string, more = "") => `{"model":"demo"${more},"messages":[{"role":"user","content":"${text}"}]}`;
  const typed = `{"prompt":{"messages":[{"role":"ROLE_USER","parts":[{"text":"Hello, who answers?"}]}]}}`;
  const sdk = `import OpenAI from "openai"; const client = new OpenAI({ baseURL: "${address}/v1", apiKey: "unused" }); const answer = await client.chat.completions.create({ model: "demo", messages: [{ role: "user", content: "Hello!" }] }); console.log(answer.provider, "said", answer.choices[0].message.content)`;
  const url = address === "http://127.0.0.1:8000" ? "" : ` --url ${address}`;
  return [
    `npx everhop chat${url} "Hello, who answers?"`,
    `curl -si ${rest} -d '${asked("Hello, who answers?")}'`,
    `curl -sN ${rest} -H 'x-everhop-include-trail: true' -d '${asked("Tell me this word by word, if you please", ',"stream":true')}'`,
    `node --input-type=module -e '${sdk}'`,
    `npx buf curl --protocol grpc --http2-prior-knowledge -d '${typed}' ${address}/everhop.v1.ChatService/CompleteChat`,
  ];
}

/** What to do, where there is room for a line. */
export function demoHint(address: string): string {
  return `From another terminal: ${demoCommands(address)[0]} (more above)`;
}

/** What the demo says of itself. */
export function demoBanner(
  address: string,
  { trafficPerSecond, isAsked }: { readonly trafficPerSecond: number | undefined; readonly isAsked: boolean },
): string {
  const why = isAsked ? "This is the demo" : "Nothing is configured, so this is the demo";
  const traffic =
    trafficPerSecond === undefined
      ? "With --traffic there are callers as well."
      : `${trafficCallers.length} callers ask ${trafficPerSecond} times a second.`;
  const real = isAsked
    ? "npx everhop serve serves real providers."
    : "With an everhop.yaml, or OPENAI_API_KEY set, real providers are served.";
  const commands = demoCommands(address).map((command) => `  ${command}`);
  return `${why}: one model, "demo", three simulated providers on loopback.
  flaky   first choice   limits, fails and breaks answers off in turns
  sleepy  first choice   is gone for a quarter of every minute
  steady  second choice  slow, and always there

Paste into another terminal, in this folder:

${commands.join("\n")}

In a browser: ${address}/docs, with a page to try it.

${traffic} Ctrl-C ends it. ${real}
`;
}
