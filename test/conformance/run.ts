import { ask, type Question, type Verdict } from "./verdict.ts";

// Has the judge look at Connect's own server and at ours, in the same way, and compares: whatever Connect passes we must pass, with
// our gRPC lane and without it.
// The last line counts the cases of ours: passed, and failed beyond Connect's.

const [judge] = process.argv.slice(2);
if (judge === undefined) {
  console.error("usage: run.ts PATH-OF-CONNECTCONFORMANCE");
  process.exit(2);
}

/** Failures told with their reasons; of the others that are ours alone, only the names. */
const mostShown = 20;

/** A case that fails so often in a row has failed. */
const mostTimes = 12;

/** A message beyond the limit, over HTTP/2: Connect's own server answers it, but neither reads on nor resets, and the connection hangs. */
const beyondConnect = "Server Message Size/HTTPVersion:2/**";

const plain = await ask({ judge, on: "plain", cases: ["--skip", beyondConnect] });
tell("Connect for Node", plain);
const common = await ask({ judge, on: "everhop", cases: ["--skip", beyondConnect] });
tell("Everhop", common);
const gRpc = ["--run", "**/Protocol:PROTOCOL_GRPC/**", "--skip", beyondConnect];
const withoutLane = await ask({ judge, on: "everhop-without-lane", cases: gRpc });
tell("Everhop without its gRPC lane, over gRPC", withoutLane);
const further = await ask({ judge, on: "everhop", cases: ["--run", beyondConnect] });
tell("Everhop, messages beyond the limit over HTTP/2 (Connect for Node does not come to an end)", further);

const beyondPlain = ({ failures }: Verdict) => [...failures.keys()].filter((name) => !plain.failures.has(name));
const suspects = [...beyondPlain(common), ...further.failures.keys()];
const suspectsWithoutLane = beyondPlain(withoutLane);
const failed = [
  ...(await failingAgain("everhop", suspects)),
  ...(await failingAgain("everhop-without-lane", suspectsWithoutLane)),
];
const total = common.total + withoutLane.total + further.total;
const alsoPlain =
  common.failures.size +
  withoutLane.failures.size +
  further.failures.size -
  suspects.length -
  suspectsWithoutLane.length;
if (alsoPlain > 0) console.info(`${alsoPlain} cases fail on both`);
console.info(`${total - failed.length - alsoPlain} passed, ${failed.length} failed`);
process.exitCode = failed.length === 0 && total > 0 ? 0 : 1;

/**
 * Asks again what has failed: a busy machine lets deadlines pass, and a client of the judge's that is answered early ends its request
 * short of the length it has promised, for which HTTP/2 resets the stream if that comes before the answer's end.
 * @returns those that fail every time
 */
async function failingAgain(on: Question["on"], names: readonly string[]): Promise<readonly string[]> {
  let failing = names;
  for (let time = 2; time <= mostTimes && failing.length > 0; time += 1) {
    const cases = failing.filter((name) => name.includes("/")).flatMap((name) => ["--run", name]);
    const again = cases.length > 0 ? await ask({ judge: judge ?? "", on, cases }) : undefined;
    const still = failing.filter((name) => !name.includes("/") || again?.failures.has(name));
    for (const name of failing) if (!still.includes(name)) console.info(`passed when asked ${time} times: ${name}`);
    failing = still;
  }
  for (const name of failing) console.info(`FAILED every time: ${name}`);
  return failing;
}

function tell(title: string, { total, failures }: Verdict): void {
  console.info(`${title}: ${total - failures.size} of ${total}`);
  const shown = [...failures].slice(0, mostShown);
  for (const [name, reason] of shown) console.info(`  ${name}\n    ${reason.replaceAll("\n\t", "\n    ")}`);
  if (failures.size > shown.length) console.info(`  and ${failures.size - shown.length} more`);
}
