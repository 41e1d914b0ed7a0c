/** One member of an object's text, by offsets. */
interface Member {
  readonly name: string;
  /** From the opening quote of the name to the end of the value. */
  readonly start: number;
  readonly end: number;
  readonly valueStart: number;
}

/** What to do with an object's top-level members. */
export interface MemberEdits {
  /** Members to set, as JSON texts by name: replaced where they stand (each occurrence), else added at the end. */
  readonly set?: Readonly<Record<string, string>>;
  readonly remove?: readonly string[];
  /** Leaves out all but the last member of each name: the one which counts, and which was checked. */
  readonly unique?: boolean;
  /** New names by old. A member that is both renamed and set makes room under its new name, and the set one is added. */
  readonly rename?: Readonly<Record<string, string>>;
}

/**
 * Changes top-level members in the text of a JSON object and leaves every other byte alone: numbers that JavaScript would round,
 * the order of members, duplicates (if they may) and unknown fields all survive, and nothing large is serialised again.
 * @param json the text of one object, already known to parse
 */
export function editMembers(json: string, { set = {}, remove = [], unique = false, rename }: MemberEdits): string {
  const members = topLevelMembers(json);
  // Few are compared with each other; of many a table is made, or a body of nothing but members would take for ever.
  const lastOf = unique && members.length > fewMembers ? lastPositions(members) : undefined;
  const missing = Object.keys(set);
  let edited = "";
  let copied = json.indexOf("{") + 1;
  let keptAny = false;
  for (let index = 0; index < members.length; index++) {
    const { name, start, end, valueStart } = members[index] as Member; // within its bounds
    if (remove.includes(name) || (unique && (lastOf ? lastOf.get(name) !== index : isRepeated(members, index)))) {
      // The comma goes too: the one before, or for a leading member the one after.
      if (keptAny) edited += json.slice(copied, json.lastIndexOf(",", start));
      copied = keptAny ? end : (members[index + 1]?.start ?? end);
      continue;
    }
    keptAny = true;
    if (rename && Object.hasOwn(rename, name)) {
      edited += `${json.slice(copied, start)}${JSON.stringify(rename[name])}:`;
      copied = valueStart;
    } else if (Object.hasOwn(set, name)) {
      edited += json.slice(copied, valueStart) + set[name];
      copied = end;
      const at = missing.indexOf(name);
      if (at >= 0) missing.splice(at, 1);
    }
  }
  const close = json.lastIndexOf("}");
  edited += json.slice(copied, close);
  for (const name of missing) {
    edited += `${keptAny ? "," : ""}${JSON.stringify(name)}:${set[name]}`;
    keptAny = true;
  }
  return `{${edited}}`;
}

/** So many members are compared as fast as a table of them is made. */
const fewMembers = 32;

function lastPositions(members: readonly Member[]): ReadonlyMap<string, number> {
  return new Map(members.map(({ name }, index) => [name, index]));
}

/** Whether a member of the same name comes later. */
function isRepeated(members: readonly Member[], index: number): boolean {
  const name = members[index]?.name;
  for (let later = index + 1; later < members.length; later++) if (members[later]?.name === name) return true;
  return false;
}

/**
 * Adds members at the end of an object's text without looking through it.
 * @param json the text of one object, known to parse, with a member at least, and with none of these names
 */
export function withMembers(json: string, members: Readonly<Record<string, string>>): string {
  let text = json.slice(0, json.lastIndexOf("}"));
  for (const name in members) text += `,${JSON.stringify(name)}:${members[name]}`;
  return `${text}}`;
}

/**
 * The text of a top-level member's value, of the last one where there are several: that is the one which counts.
 * @param json the text of one object, already known to parse
 */
export function memberText(json: string, name: string): string | undefined {
  const member = topLevelMembers(json).findLast((each) => each.name === name);
  return member && json.slice(member.valueStart, member.end);
}

/** Finds the members of a valid object's text. Strings are jumped over, so that a long prompt costs little. */
function topLevelMembers(json: string): Member[] {
  const members: Member[] = [];
  let at = json.indexOf("{") + 1;
  for (;;) {
    const start = json.indexOf('"', at);
    if (start < 0) return members;
    const nameEnd = stringEnd(json, start);
    const quoted = json.slice(start, nameEnd);
    const name = quoted.includes("\\") ? (JSON.parse(quoted) as string) : quoted.slice(1, -1); // parses to a string
    let valueStart = json.indexOf(":", nameEnd) + 1;
    while (isBlank(json.charCodeAt(valueStart))) valueStart += 1;
    const end = valueEnd(json, valueStart);
    members.push({ name, start, end, valueStart });
    at = end;
    while (isBlank(json.charCodeAt(at))) at += 1;
    if (json.charCodeAt(at) !== 44) return members; // no comma: the object closes
    at += 1;
  }
}

function isBlank(code: number): boolean {
  return code === 32 || code === 10 || code === 13 || code === 9;
}

/** Offset behind the string that begins at `start`. */
function stringEnd(json: string, start: number): number {
  let quote = start;
  for (;;) {
    quote = json.indexOf('"', quote + 1);
    let backslashes = 0;
    while (json.charCodeAt(quote - 1 - backslashes) === 92) backslashes += 1;
    if (backslashes % 2 === 0) return quote + 1;
  }
}

/** Offset behind the value that begins at `start`. */
function valueEnd(json: string, start: number): number {
  let depth = 0;
  for (let at = start; at < json.length; at++) {
    switch (json.charCodeAt(at)) {
      case 34: // "
        at = stringEnd(json, at) - 1;
        if (depth === 0) return at + 1;
        break;
      case 123: // {
      case 91: // [
        depth += 1;
        break;
      case 125: // }
      case 93: // ]
        if (depth === 0) return trimmed(json, start, at);
        depth -= 1;
        if (depth === 0) return at + 1;
        break;
      case 44: // ,
        if (depth === 0) return trimmed(json, start, at);
        break;
      default:
    }
  }
  return json.length;
}

function trimmed(json: string, start: number, end: number): number {
  let at = end;
  while (at > start && isBlank(json.charCodeAt(at - 1))) at -= 1;
  return at;
}
