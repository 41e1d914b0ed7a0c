import { describe, expect, test } from "vitest";
import { schemaInstance } from "../../../src/providers/simulated/schema-instance.ts";

describe("the least value of a schema", () => {
  test.for([
    [{ const: 5 }, 5],
    [{ enum: ["a", "b"] }, "a"],
    [{ type: "string" }, "text"],
    [{ type: "string", minLength: 6 }, "textxx"],
    [{ type: "string", maxLength: 2 }, "te"],
    [{ type: "integer" }, 0],
    [{ type: "integer", minimum: 1.5 }, 2],
    [{ type: "integer", exclusiveMinimum: 3 }, 4],
    [{ type: "number", maximum: -2 }, -2],
    [{ type: "boolean" }, true],
    [{ type: "null" }, null],
    [{ type: ["string", "null"] }, "text"],
    [{ type: "array", items: { type: "string" } }, []],
    [{ type: "array", items: { type: "integer" }, minItems: 2 }, [0, 0]],
    [{ type: "object", properties: { a: { type: "string" } } }, {}],
    [
      { properties: { a: { type: "string" }, b: {} }, required: ["a", "b", "c"] },
      { a: "text", b: null, c: null },
    ],
    [{ anyOf: [{ type: "integer" }, { type: "string" }] }, 0],
    [{ $ref: "#/$defs/A~1B", $defs: { "A/B": { const: 1 } } }, 1],
    [{ $ref: "#/$defs/missing" }, null],
    [{ $ref: "http://elsewhere" }, null],
    [true, null],
    [undefined, null],
  ] as const)("%j", ([schema, instance]) => {
    expect(schemaInstance(schema)).toEqual(instance);
  });

  test("is one with a property of any name", () => {
    const schema = JSON.parse(
      '{"type":"object","properties":{"__proto__":{"const":1}},"required":["__proto__","constructor"]}',
    );
    expect(JSON.stringify(schemaInstance(schema))).toBe('{"__proto__":1,"constructor":null}');
  });

  test("is found for a schema that recurses, or branches as it does", () => {
    const properties = { left: { $ref: "#" }, right: { $ref: "#" } };
    const instance = schemaInstance({ type: "object", properties, required: ["left", "right"] });
    expect(JSON.stringify(instance).length).toBeLessThan(100_000);
    expect(schemaInstance({ $ref: "#" })).toBe(null);
    const wide = { type: "array", minItems: 1e9, items: { $ref: "#" } };
    expect(Array.isArray(schemaInstance(wide))).toBe(true);
  });
});
