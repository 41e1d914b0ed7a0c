/** A token with the logarithm of its probability, as the OpenAI API words it. */
export interface TokenLogprob {
  token: string;
  logprob: number;
  bytes: number[];
}

const utf8 = new TextEncoder();

/** A made-up but repeatable probability for a token, with so many alternatives; the token itself is the first of them. */
export function tokenLogprob(token: string, alternatives: number): TokenLogprob & { top_logprobs: TokenLogprob[] } {
  const best = of(token, -(hash(token) % 1000) / 1000 - 0.001);
  const others = Array.from({ length: Math.max(alternatives - 1, 0) }, (_, index) =>
    of(`${token}~${index + 1}`, best.logprob - (index + 1)),
  );
  return { ...best, top_logprobs: alternatives > 0 ? [best, ...others] : [] };
}

function of(token: string, logprob: number): TokenLogprob {
  return { token, logprob, bytes: [...utf8.encode(token)] };
}

/** FNV-1a: few lines, and spreads short texts well enough. */
function hash(text: string): number {
  let state = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) state = Math.imul(state ^ text.charCodeAt(index), 0x01000193);
  return state >>> 0;
}
