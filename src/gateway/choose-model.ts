import { FaultError } from "../chat/fault.ts";
import type { PromptContent } from "../providers/openai/prompt-content.ts";
import type { Target } from "../providers/target.ts";

/** Which model serves whom nobody named one for. */
export interface ModelChoice {
  /** Model by task. `audio`, `vision` and `long` are also for prompts that hold a sound, an image, much text. */
  readonly tasks: ReadonlyMap<string, string>;
  /** About so many tokens are much text. */
  readonly longPromptTokens: number;
  readonly defaultModel: string | undefined;
}

/** What a call says of the model that it wants. */
export interface ModelWish {
  /** Empty: none. */
  readonly model: string;
  /** Empty or missing: none. It counts more than a model, which some clients cannot leave out. */
  readonly task?: string | undefined;
  /** What the prompt holds; only asked for where that decides. Missing: text. */
  content?(): PromptContent;
}

/**
 * The model that a call is for: its task's; else the one that it names, unless none of that model's endpoints takes what the prompt
 * holds; else by what the prompt holds; else the default.
 * @param field the task's, for what is wrong with it
 * @param targetsOf the endpoints of a model that the caller may use; undefined: there is none
 * @returns undefined when nobody is named and there is no default
 * @throws FaultError for a task that is not configured
 */
export function chooseModel(
  { model, task, content }: ModelWish,
  { tasks, longPromptTokens, defaultModel }: ModelChoice,
  field: string,
  targetsOf: (model: string) => readonly Target[] | undefined,
): string | undefined {
  if (task) {
    const chosen = tasks.get(task);
    if (chosen !== undefined) return chosen;
    const expected = tasks.size > 0 ? `one of ${[...tasks.keys()].join(", ")}` : "none: this gateway has no tasks";
    const description = `expected ${expected}, got ${JSON.stringify(task.slice(0, 60))}`;
    throw new FaultError({ kind: "invalid_request", violations: [{ field, description }] });
  }
  /** The task's model, if there is one for this caller: what nobody asked for must not fail for a lack of rights. */
  const usable = (name: string) => {
    const chosen = tasks.get(name);
    return chosen !== undefined && targetsOf(chosen) ? chosen : undefined;
  };
  const audio = usable("audio");
  const vision = usable("vision");
  const long = usable("long");
  const wanted = model || defaultModel;
  if (content === undefined || (audio ?? vision ?? long) === undefined) return wanted;
  if (model) {
    const targets = targetsOf(model) ?? [];
    // What is not declared is tried.
    if (targets.length === 0 || targets.some(({ input }) => input === undefined)) return model;
    const takes = (kind: "image" | "audio") => targets.some(({ input }) => input?.includes(kind));
    const { audio: hasAudio, image: hasImage } = content();
    return (hasAudio && !takes("audio") && audio) || (hasImage && !takes("image") && vision) || model;
  }
  const { audio: hasAudio, image: hasImage, tokens } = content();
  return (hasAudio && audio) || (hasImage && vision) || (isLong(tokens) && long) || wanted;

  function isLong(size: number): boolean {
    const windows = ((wanted && targetsOf(wanted)) || []).map(({ contextWindow }) => contextWindow);
    const largest = windows.includes(undefined) ? undefined : Math.max(...windows.map((window) => window ?? 0));
    return size >= longPromptTokens || (largest !== undefined && windows.length > 0 && size > largest);
  }
}
