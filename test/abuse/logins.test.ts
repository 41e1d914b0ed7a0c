import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { type Answer, httpRequest, talk } from "../bad-input/http1.ts";
import { callHttp2, envelope, goodRequest, outcomeOf } from "../bad-input/rpc.ts";
import { closedAuth, goodKey, startTarget, type Target } from "./target.ts";

const completeChat = "/everhop.v1.ChatService/CompleteChat";
/** More wrong keys than an address may try at once, and than come back while they are tried. */
const many = 150;

/** Asks for the models. @param fields beside the key */
async function ask({ port }: Target, key: string, fields: readonly string[] = []): Promise<Answer> {
  const [answer] = await askAll(port, [httpRequest("GET /v1/models", [`Authorization: Bearer ${key}`, ...fields])]);
  if (!answer) throw new Error("no answer came");
  return answer;
}

/** Says requests one after another on one connection. */
async function askAll(port: number, requests: readonly string[]): Promise<readonly Answer[]> {
  const { answers } = await talk(port, requests.join(""), { answers: requests.length });
  expect(answers).toHaveLength(requests.length);
  return answers;
}

/** Tries so many wrong keys; tells the statuses. @param fields of the request of each number */
async function guess({ port }: Target, count: number, fields: (index: number) => readonly string[] = () => []) {
  const requests = Array.from({ length: count }, (_, index) =>
    httpRequest("GET /v1/models", [`Authorization: Bearer guess-${index}`, ...fields(index)]),
  );
  return askAll(port, requests);
}

const statuses = (answers: readonly Answer[]) => [...new Set(answers.map(({ status }) => status))];

/** A body without what is of one request alone. */
const sameBody = ({ body }: Answer) =>
  body.replaceAll(/req_[0-9a-f]+/g, "REQUEST").replace(/"timestamp":"[^"]+"/, "TIME");

describe("wrong keys from one address", () => {
  test("are held up after some sixty, by the same words each and with the time to come back", async () => {
    const target = await startTarget(closedAuth);
    const answers = await guess(target, many);
    const first = answers.findIndex(({ status }) => status === 429);
    expect(first).toBeGreaterThanOrEqual(60);
    expect(statuses(answers.slice(0, first))).toEqual([401]);
    const limited = answers.filter(({ status }) => status === 429);
    expect(limited.length).toBeGreaterThan(50);
    for (const { headers } of limited) expect(headers["retry-after"]).toMatch(/^[1-9]\d*$/);
    expect(new Set(limited.map(sameBody)).size).toBe(1);
    expect(new Set(answers.slice(0, first).map(sameBody)).size).toBe(1);
    // It says nothing of keys that is not said of every address.
    expect(sameBody(limited[0] as Answer)).not.toContain("guess");
  });

  test("do not hold up a right key from there, nor those that show none", async () => {
    const target = await startTarget(closedAuth);
    await guess(target, many);
    expect((await ask(target, "wrong")).status).toBe(429);
    expect((await ask(target, goodKey)).status).toBe(200);
    const [none] = await askAll(target.port, [httpRequest("GET /v1/models")]);
    expect(none?.status).toBe(401);
    const [health] = await askAll(target.port, [httpRequest("GET /health")]);
    expect(health?.status).toBe(200);
    await target.serves();
    // A right key does not make the wrong ones good again.
    expect((await ask(target, "wrong")).status).toBe(429);
  });

  test("are the same whatever surface they are tried on", async () => {
    const target = await startTarget(closedAuth);
    await guess(target, many);
    const fields = { authorization: "Bearer wrong", te: "trailers" };
    const grpc = await callHttp2(target.address, completeChat, { ...fields, "content-type": "application/grpc" }, [
      envelope(0, goodRequest),
    ]);
    expect(outcomeOf(grpc)).toMatchObject({ code: "resource_exhausted", reason: "TOO_MANY_FAILURES" });
    const connect = await callHttp2(target.address, completeChat, { ...fields, "content-type": "application/proto" }, [
      goodRequest,
    ]);
    expect(connect.status).toBe(429);
    const admin = await askAll(target.port, [httpRequest("GET /v1/models", ["X-Admin-Key: wrong"])]);
    expect(statuses(admin)).toEqual([429]);
    const apiKey = await askAll(target.port, [httpRequest("GET /v1/models", ["X-API-Key: wrong"])]);
    expect(statuses(apiKey)).toEqual([429]);
  });

  test("are counted by the address, not by the connection", async () => {
    const target = await startTarget(closedAuth);
    const found: number[] = [];
    for (let index = 0; index < many; index += 1) found.push((await ask(target, `guess-${index}`)).status);
    expect(found.slice(0, 60)).toEqual(Array.from({ length: 60 }, () => 401));
    expect(found).toContain(429);
  });
});

describe("what somebody says of its own address", () => {
  const said: readonly [string, (index: number) => readonly string[]][] = [
    ["X-Forwarded-For", (index) => [`X-Forwarded-For: 203.0.113.${index % 250}`]],
    ["X-Real-IP", (index) => [`X-Real-IP: 203.0.113.${index % 250}`]],
    ["Forwarded", (index) => [`Forwarded: for=203.0.113.${index % 250}`]],
    ["many headers at once", (index) => [`True-Client-IP: 203.0.113.${index}`, `CF-Connecting-IP: 203.0.113.${index}`]],
  ];

  test.each(said)("counts for nothing where no proxy is trusted: %s", async (_name, fields) => {
    const target = await startTarget(closedAuth);
    expect(statuses(await guess(target, many, fields))).toEqual([401, 429]);
    expect((await ask(target, "wrong")).status).toBe(429);
  });

  test.each(said)("counts for nothing from whoever is no trusted proxy: %s", async (_name, fields) => {
    const target = await startTarget({
      ...closedAuth,
      server: { trusted_proxies: ["198.51.100.0/24", "2001:db8::/32"] },
    });
    expect(statuses(await guess(target, many, fields))).toEqual([401, 429]);
  });

  const behindProxy = { ...closedAuth, server: { trusted_proxies: ["127.0.0.0/8", "10.0.0.0/8"] } };

  test("counts behind a trusted proxy: each address has a burst of its own", async () => {
    const target = await startTarget(behindProxy);
    const from = (address: string) => () => [`X-Forwarded-For: ${address}`];
    expect(statuses(await guess(target, many, from("203.0.113.1")))).toEqual([401, 429]);
    expect((await ask(target, "wrong", ["X-Forwarded-For: 203.0.113.2"])).status).toBe(401);
    expect((await ask(target, "wrong", ["X-Forwarded-For: 203.0.113.1"])).status).toBe(429);
    // By way of another trusted proxy it is the same client.
    expect((await ask(target, "wrong", ["X-Forwarded-For: 203.0.113.1, 10.1.2.3"])).status).toBe(429);
    expect((await ask(target, goodKey, ["X-Forwarded-For: 203.0.113.1"])).status).toBe(200);
  });

  test("cannot be invented by a client behind a trusted proxy: what it says stands left of what the proxy says", async () => {
    const target = await startTarget(behindProxy);
    const invented = (index: number) => [`X-Forwarded-For: 198.51.100.${index % 250}, 203.0.113.1`];
    expect(statuses(await guess(target, many, invented))).toEqual([401, 429]);
    // Also as a field of its own, before the proxy's.
    const split = (index: number) => [`X-Forwarded-For: 198.51.100.${index % 250}`, "X-Forwarded-For: 203.0.113.3"];
    expect(statuses(await guess(target, many, split))).toEqual([401, 429]);
  });

  // Many proxies add to X-Forwarded-For and pass a client's own X-Real-IP on as it came.
  test("cannot be invented by X-Real-IP where the proxy says another thing in X-Forwarded-For", async () => {
    const target = await startTarget(behindProxy);
    const invented = (index: number) => [`X-Real-IP: 198.51.100.${index % 250}`, "X-Forwarded-For: 203.0.113.1"];
    expect(statuses(await guess(target, many, invented))).toEqual([401, 429]);
  });

  test("is no address: then the proxy answers for it", async () => {
    const target = await startTarget(behindProxy);
    const nonsense = (index: number) => [`X-Forwarded-For: somebody-${index}`];
    expect(statuses(await guess(target, many, nonsense))).toEqual([401, 429]);
  });

  // Whoever has one IPv6 address has 2^64 of them.
  test.each([
    ["written out", (index: number) => `2001:db8:1:2:${index.toString(16)}:1:1:1`],
    ["with zeros left out behind the network", (index: number) => `2001:db8:1:2::${index.toString(16)}`],
    ["with zeros left out inside of the network", (index: number) => `2001:db8::${(index + 1).toString(16)}`],
    ["with zeros left out before the last group", (index: number) => `2001:db8:0:5::${(index + 1).toString(16)}`],
    ["with the last zeros of the network left out", (index: number) => `2001:db8::${(index + 1).toString(16)}:0:0:1`],
  ])("is one place within a /64 of IPv6: %s", async (_how, addressOf) => {
    const target = await startTarget(behindProxy);
    const fields = (index: number) => [`X-Forwarded-For: ${addressOf(index)}`];
    expect(statuses(await guess(target, many, fields))).toEqual([401, 429]);
  });

  test("is another place in another /64 of IPv6", async () => {
    const target = await startTarget(behindProxy);
    await guess(target, many, () => ["X-Forwarded-For: 2001:db8:1:1::1"]);
    expect((await ask(target, "wrong", ["X-Forwarded-For: 2001:db8:1:2::1"])).status).toBe(401);
  });
});

describe("a hundred thousand addresses", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void; // there by the flag

  test("that each try a wrong key take no more memory than ten thousand", { timeout: 120_000 }, async () => {
    const target = await startTarget({ ...closedAuth, server: { trusted_proxies: ["127.0.0.1"] } });
    const from = (index: number) => [`X-Forwarded-For: 10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`];
    const used = async (begin: number, end: number) => {
      // No more on one connection than it may have.
      for (let index = begin; index < end; index += 1000) {
        const answers = await guess(target, 1000, (each) => from(index + each));
        expect(statuses(answers)).toEqual([401]);
      }
      collect();
      return process.memoryUsage().heapUsed / 2 ** 20;
    };
    const before = await used(0, 1000);
    const ten = await used(1000, 12_000);
    const hundred = await used(12_000, 100_000);
    console.log(
      `heap after 1,000 addresses ${before.toFixed(1)} MiB, 12,000 ${ten.toFixed(1)} MiB, 100,000 ${hundred.toFixed(1)} MiB; RSS ${process.memoryUsage().rss >> 20} MiB`,
    );
    expect(hundred - ten).toBeLessThan(8);
    await target.serves();
  });

  test("do not make an address forgotten that goes on trying", async () => {
    const target = await startTarget({ ...closedAuth, server: { trusted_proxies: ["127.0.0.1"] } });
    const stubborn = () => ["X-Forwarded-For: 203.0.113.9"];
    await guess(target, many, stubborn);
    for (let round = 0; round < 12; round += 1) {
      await guess(target, 900, (index) => [`X-Forwarded-For: 10.0.${round * 4 + (index >> 8)}.${index & 255}`]);
      // Three tries: more than came back meanwhile.
      expect(statuses(await guess(target, 30, stubborn))).toContain(429);
    }
  });
});
