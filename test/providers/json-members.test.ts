import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { editMembers, memberText } from "../../src/providers/openai/json-members.ts";

describe("editing an object's text", () => {
  test("leaves every other byte alone: large numbers, blanks, order, duplicates", () => {
    const json =
      '{ "seed" : 12345678901234567890,\n "model": "a" , "x":1e400, "x":{"model":"inner"},"u":"\\u00e9\\"}" }';
    expect(editMembers(json, { set: { model: '"b"' } })).toBe(json.replace('"a"', '"b"'));
  });

  test("sets every occurrence of a member, and adds what is missing at the end", () => {
    expect(editMembers('{"a":1,"a":2}', { set: { a: "3", b: '"x"' } })).toBe('{"a":3,"a":3,"b":"x"}');
    expect(editMembers("{}", { set: { a: "1" } })).toBe('{"a":1}');
    expect(editMembers(" { } ", { set: { a: "1" } })).toBe('{ "a":1}');
  });

  test("removes a member with its comma, wherever it stands", () => {
    const remove = ["a", "c"];
    expect(editMembers('{"a":1,"b":2,"c":[1,{"a":"}"}],"d":4}', { remove })).toBe('{"b":2,"d":4}');
    expect(editMembers('{"b":2,"c":3}', { remove })).toBe('{"b":2}');
    expect(editMembers('{"a":1}', { remove })).toBe("{}");
    expect(JSON.parse(editMembers('{"a":1, "c" : 2 , "b":3}', { remove }))).toEqual({ b: 3 });
  });

  test("renames a member and keeps its value's text", () => {
    expect(editMembers('{"provider": 1.0,"b":2}', { rename: { provider: "upstream_provider" } })).toBe(
      '{"upstream_provider":1.0,"b":2}',
    );
  });

  test("amounts to the same edit of the parsed object, for any object however it is written", () => {
    const name = fc.oneof(
      fc.constantFrom("model", "provider", "timeout", "__proto__", 'qu"ote', "back\\"),
      fc.string(),
    );
    const member = fc.tuple(name, fc.jsonValue());
    const blank = fc.constantFrom("", " ", "\n\t");
    fc.assert(
      fc.property(fc.uniqueArray(member, { selector: ([key]) => key, maxLength: 8 }), blank, (members, gap) => {
        const written = members.map(
          ([key, value]) => `${gap}${JSON.stringify(key)}${gap}:${gap}${JSON.stringify(value)}${gap}`,
        );
        const json = `${gap}{${written.join(",") || gap}}${gap}`;
        const edited = editMembers(json, {
          set: { model: '"m"' },
          remove: ["timeout"],
          rename: { provider: "upstream_provider" },
        });
        const expected = new Map<string, unknown>();
        for (const [key, value] of members) {
          if (key !== "timeout" && key !== "upstream_provider")
            expected.set(key === "provider" ? "upstream_provider" : key, value);
        }
        expected.set("model", "m");
        const actual = JSON.parse(edited) as Record<string, unknown>;
        for (const [key, value] of expected)
          expect(JSON.stringify(actual[key])).toBe(JSON.stringify(JSON.parse(JSON.stringify(value))));
        expect(Object.hasOwn(actual, "timeout")).toBe(false);
      }),
      { numRuns: 1000 },
    );
  });
});

describe("reading a member's text", () => {
  test("gives it as it is written, the last one where there are several", () => {
    const json = '{ "a" : {"x": 1.0, "a":2} , "b":[1,{"a":3}], "a":"}" }';
    expect(memberText(json, "a")).toBe('"}"');
    expect(memberText(json, "b")).toBe('[1,{"a":3}]');
    expect(memberText('{"a": 1e400 }', "a")).toBe("1e400");
  });

  test("finds none that is not there, or only inside of another", () => {
    expect(memberText('{"b":{"a":1}}', "a")).toBeUndefined();
    expect(memberText(" {} ", "a")).toBeUndefined();
  });
});
