import { ServerResponse } from "node:http";

// Preloaded into every process of a run: in the upstream, and only there, some answers lose a word after a while.
const rightAnswers = 200;

if (process.argv[1]?.endsWith("bench/processes/upstream.ts")) {
  const end = ServerResponse.prototype.end;
  let count = 0;
  const spoilt = function (this: ServerResponse, ...args: unknown[]) {
    const [text, ...others] = args;
    const isWrong = typeof text === "string" && ++count > rightAnswers;
    return Reflect.apply(end, this, [isWrong ? text.replace("word", "w0rd") : text, ...others]);
  };
  ServerResponse.prototype.end = spoilt as typeof end;
}
