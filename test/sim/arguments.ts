/** What a long run of the swarm is asked for. */
export interface Arguments {
  readonly seeds: number;
  /** Stops then, however many seeds are left. */
  readonly minutes: number;
  readonly from: number;
  readonly requests: number;
  readonly jobs: number;
  readonly log: boolean;
  /** Only how it is called is asked. */
  readonly help: boolean;
}

/** How it is called. */
export const usage = `Usage: npm run sim -- [--seeds N] [--minutes M] [--from S] [--requests R] [--jobs J] [--log] [--help]
  --seeds     how many seeds, one after another (1000)
  --minutes   stop after so long, however many are left
  --from      the first seed (1)
  --requests  requests of each seed while things go wrong (1000)
  --jobs      processes to share the seeds (1); no more than there are seeds and processors
  --log       print the hop log of every seed
  --help      print this`;

/** The number flags, and the least that each may be. */
const numbers = {
  "--seeds": { name: "seeds", least: 1, whole: true },
  "--minutes": { name: "minutes", least: 0.01, whole: false },
  "--from": { name: "from", least: 1, whole: true },
  "--requests": { name: "requests", least: 1, whole: true },
  "--jobs": { name: "jobs", least: 1, whole: true },
} as const;

/** Reads the flags. @returns in words what is wrong with them, if anything is */
export function readArguments(given: readonly string[]): Arguments | string {
  const read = {
    seeds: 1000,
    minutes: Number.POSITIVE_INFINITY,
    from: 1,
    requests: 1000,
    jobs: 1,
    log: false,
    help: false,
  };
  for (let position = 0; position < given.length; position++) {
    const [flag = "", attached] = (given[position] ?? "").split("=", 2);
    if (flag === "--log" && attached === undefined) {
      read.log = true;
      continue;
    }
    if (flag === "--help" && attached === undefined) {
      read.help = true;
      continue;
    }
    if (!Object.hasOwn(numbers, flag)) return `there is no ${given[position]}`;
    const { name, least, whole } = numbers[flag as keyof typeof numbers]; // it is one of them
    const text = attached ?? given[++position];
    const value = Number(text);
    if (text === undefined || text === "") return `${flag} needs a number`;
    if (!Number.isFinite(value)) return `${flag} needs a number, and got ${JSON.stringify(text)}`;
    if (value < least || (whole && !Number.isSafeInteger(value))) {
      return `${flag} is ${text}, and must be ${whole ? "a whole number, " : ""}${least} at least`;
    }
    read[name] = value;
  }
  return read;
}

/** How many processes share the seeds: more than there are seeds or processors would only be in each other's way. */
export function jobsOf({ jobs, seeds }: Pick<Arguments, "jobs" | "seeds">, processors: number): number {
  return Math.max(1, Math.min(jobs, seeds, processors));
}
