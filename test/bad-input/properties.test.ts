import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { seededRng } from "../../src/runtime/rng.ts";
import { isAuthority } from "../../src/server/listener/authority.ts";
import { properties } from "./properties.ts";

describe("of thousands of inputs that were good once", () => {
  test.each(properties)("$name", (property) => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        property.try(seededRng(seed));
      }),
      { numRuns: 5000 },
    );
  });
});

test("of any texts at all, only those that can stand in a URL are authorities", () => {
  const text = fc.oneof(
    fc.string(),
    fc.string({ unit: "binary" }),
    fc.ipV4(),
    fc.ipV6().map((ip) => `[${ip}]`),
    fc.domain(),
    fc.webAuthority(),
  );
  const port = fc.oneof(
    fc.constant(""),
    fc.nat(100_000).map((number) => `:${number}`),
    fc.string().map((each) => `:${each}`),
  );
  fc.assert(
    fc.property(text, port, (host, more) => {
      const accepted = isAuthority(host + more);
      if (accepted) expect(new URL(`http://${host + more}/`).pathname).toBe("/");
    }),
    { numRuns: 5000 },
  );
});

test.each([
  ["a domain", fc.domain()],
  ["an address of IPv4", fc.ipV4()],
  ["an address of IPv6", fc.ipV6().map((ip) => `[${ip}]`)],
])("%s is an authority, with a port and without", (_, host) => {
  fc.assert(
    fc.property(host, fc.nat(65_535), (text, port) => {
      // A domain that browsers refuse, as some that begin in xn-- are, is none here, either.
      fc.pre(URL.canParse(`http://${text}/`));
      expect([isAuthority(text), isAuthority(`${text}:${port}`), isAuthority(`${text}:${port + 65_536}`)]).toEqual([
        true,
        true,
        false,
      ]);
    }),
    { numRuns: 2000 },
  );
});
