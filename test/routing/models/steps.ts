import type { AsyncCommand, Command } from "fast-check";

/** What one kind of step is: a name for whoever reads a failing case, and what it does to the model and to the real thing. */
interface Step<M, R, Done> {
  readonly name: string;
  /** Whether it makes sense now; a case leaves out what does not. */
  readonly when?: (model: Readonly<M>) => boolean;
  readonly run: (model: M, real: R) => Done;
}

/** Makes steps after each of which the model and the real thing must agree: a difference is found where it arises. */
export function stepsThatAgree<M extends object, R>(agree: (model: M, real: R) => void) {
  return ({ name, when = () => true, run }: Step<M, R, void>): Command<M, R> => ({
    check: when,
    run(model, real) {
      run(model, real);
      agree(model, real);
    },
    toString: () => name,
  });
}

/** The same, where things take their time. */
export function asyncStepsThatAgree<M extends object, R>(agree: (model: M, real: R) => void) {
  return ({ name, when = () => true, run }: Step<M, R, Promise<void>>): AsyncCommand<M, R> => ({
    check: when,
    async run(model, real) {
      await run(model, real);
      agree(model, real);
    },
    toString: () => name,
  });
}

/** One of several, by a number of any size: what there is to choose from is only known when a case runs. */
export function oneOf<T>(items: readonly T[], which: number): T | undefined {
  return items[which % items.length];
}
