import type { Capacity, Phase, Trouble } from "./scenario.ts";
import { durationText } from "./time-text.ts";

const troubleWords: Readonly<Record<Trouble, string>> = {
  server_error: "500",
  overloaded: "503",
  refused_connection: "refused connections",
  rate_limited: "429",
  bad_key: "401",
  no_quota: "402",
  no_model: "404",
  wrong_path: "404 of a wrong path",
  black_hole: "nobody answers",
  hang: "silence",
  cut: "answers cut off",
  stall: "answers that stop",
};

/** What a phase does, in a few words. */
export function phaseText(phase: Phase): string {
  const { fails, share, slower, capacity, rateLimit, flapping, coldStart, traffic } = phase;
  const part = share < 1 ? `${Math.round(share * 100)}% of calls: ` : "";
  const words = [
    fails.length > 0 && part + fails.map((each) => troubleWords[each]).join(" or "),
    slower !== 1 && `${slower} × slower`,
    capacity && capacityText(capacity),
    rateLimit && `${rateLimit.perSecond}/s per ${rateLimit.per}, then 429`,
    flapping && `${durationText(flapping.downMs)} so, ${durationText(flapping.upMs)} well`,
    coldStart && `then ${durationText(coldStart.forMs)} of cold start`,
    traffic !== 1 && `traffic × ${traffic}`,
  ];
  return words.filter(Boolean).join(", ");
}

function capacityText({ inFlight, beyond }: Capacity): string {
  const ways = { slower: "slower", overloaded: "503", rate_limited: "429" };
  return `${inFlight} calls at once, then ${ways[beyond]}`;
}
