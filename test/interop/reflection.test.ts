import { execFile } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { create, createFileRegistry, createRegistry, fromBinary, getOption, toBinary } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { createClient, type Transport } from "@connectrpc/connect";
import { type ClientDuplexStream, credentials, Client as GrpcJsClient } from "@grpc/grpc-js";
import { describe, expect, onTestFinished, test } from "vitest";
import { access } from "../../gen/ts/everhop/v1/access_pb.ts";
import * as v1 from "../../gen/ts/grpc/reflection/v1/reflection_pb.ts";
import * as v1alpha from "../../gen/ts/grpc/reflection/v1alpha/reflection_pb.ts";
import { drain } from "../../src/server/shutdown.ts";
import { poolConfig, startGateway, startProviders } from "../support/gateway.ts";
import { openTransport } from "../support/wires.ts";

async function startOpen() {
  const providers = await startProviders({ a: { schedule: [{ kind: "html" }] }, b: {} });
  return startGateway(poolConfig(providers), providers);
}

type Question = v1.ServerReflectionRequest["messageRequest"];
/** An answer as both versions have it. */
type Answer = Pick<v1.ServerReflectionResponse, "validHost" | "messageResponse" | "originalRequest">;

/** Asks question after question on one stream. */
interface Asking {
  ask(question: Question, host?: string): Promise<Answer>;
  /** Whatever comes next, without a question. */
  next(): Promise<unknown>;
  /** Asks nothing more. Resolves when the stream has ended. */
  end(): Promise<void>;
}

const versions = { v1, v1alpha } as const;
type Version = keyof typeof versions;

/** One stream by grpc-js, on a connection of its own. */
function openByGrpcJs(address: string, version: Version): Asking {
  const { ServerReflectionRequestSchema, ServerReflectionResponseSchema } = versions.v1;
  const client = new GrpcJsClient(address.replace("http://", ""), credentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
  });
  onTestFinished(() => client.close());
  // The two versions are alike on the wire.
  const stream: ClientDuplexStream<v1.ServerReflectionRequest, v1.ServerReflectionResponse> =
    client.makeBidiStreamRequest(
      `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
      (message: v1.ServerReflectionRequest) => Buffer.from(toBinary(ServerReflectionRequestSchema, message)),
      (bytes) => fromBinary(ServerReflectionResponseSchema, bytes),
    );
  onTestFinished(() => stream.cancel());
  // Told by reading on.
  stream.on("error", () => {});
  const answers: AsyncIterator<v1.ServerReflectionResponse> = stream[Symbol.asyncIterator]();
  return {
    async ask(messageRequest, host = "") {
      stream.write(create(ServerReflectionRequestSchema, { host, messageRequest }));
      return (await answers.next()).value;
    },
    next: () => answers.next(),
    async end() {
      stream.end();
      expect((await answers.next()).done).toBe(true);
    },
  };
}

/** One stream by Connect's client. */
function openByConnect(transport: Transport, version: Version): Asking {
  const questions: { question: v1.ServerReflectionRequest | undefined }[] = [];
  let wake = () => {};
  const push = (question: v1.ServerReflectionRequest | undefined) => {
    questions.push({ question });
    wake();
  };
  async function* asked() {
    while (true) {
      const next = questions.shift();
      if (next && !next.question) return;
      if (next?.question) yield next.question;
      else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  }
  // The client of one version will do for the other: they differ by the path alone.
  const service = versions[version].ServerReflection as typeof v1.ServerReflection;
  const answers = createClient(service, transport).serverReflectionInfo(asked())[Symbol.asyncIterator]();
  return {
    async ask(messageRequest, host = "") {
      push(
        create(versions[version].ServerReflectionRequestSchema as typeof v1.ServerReflectionRequestSchema, {
          host,
          messageRequest,
        }),
      );
      return (await answers.next()).value;
    },
    next: () => answers.next(),
    async end() {
      push(undefined);
      expect((await answers.next()).done).toBe(true);
    },
  };
}

/** The files of an answer, in their order. */
function filesOf({ messageResponse }: Answer) {
  if (messageResponse.case !== "fileDescriptorResponse")
    throw new Error(`no files: ${JSON.stringify(messageResponse)}`);
  return messageResponse.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
}

function namesOf(answer: Answer): string[] {
  return filesOf(answer).map(({ name }) => name);
}

const services = [
  "everhop.v1.ChatService",
  "everhop.v1.HealthService",
  "everhop.v1.ModelsService",
  "grpc.health.v1.Health",
  "grpc.reflection.v1.ServerReflection",
  "grpc.reflection.v1alpha.ServerReflection",
];

const ways = (["v1", "v1alpha"] as const).flatMap((version) => [
  { version, by: "grpc-js", open: (address: string) => openByGrpcJs(address, version) },
  {
    version,
    by: "Connect's gRPC client",
    open: (address: string) => openByConnect(openTransport("gRPC by Connect's client", address), version),
  },
]);

describe.each(ways)("reflection $version by $by", ({ open }) => {
  test("lists every service", async () => {
    const { address } = await startOpen();
    const { ask, end } = open(address);
    const { messageResponse, validHost, originalRequest } = await ask({ case: "listServices", value: "*" }, "a-host");
    if (messageResponse.case !== "listServicesResponse") throw new Error("another answer");
    expect(messageResponse.value.service.map(({ name }) => name)).toEqual(services);
    expect(validHost).toBe("a-host");
    expect(originalRequest?.messageRequest).toEqual({ case: "listServices", value: "*" });
    await end();
  });

  test("gives a file with all that it imports, each once, and nothing twice unless it is asked for", async () => {
    const { address } = await startOpen();
    const { ask, end } = open(address);
    const first = await ask({ case: "fileByFilename", value: "everhop/v1/chat_service.proto" });
    const names = namesOf(first);
    expect(names[0]).toBe("everhop/v1/chat_service.proto");
    expect(new Set(names).size).toBe(names.length);
    // Imported by what it imports, too.
    expect(names).toEqual(expect.arrayContaining(["everhop/v1/usage.proto", "google/protobuf/descriptor.proto"]));
    for (const { dependency } of filesOf(first)) expect(names).toEqual(expect.arrayContaining(dependency));
    const second = await ask({ case: "fileByFilename", value: "everhop/v1/models_service.proto" });
    expect(namesOf(second)).toEqual(["everhop/v1/models_service.proto"]);
    expect(namesOf(await ask({ case: "fileByFilename", value: "everhop/v1/usage.proto" }))).toEqual([
      "everhop/v1/usage.proto",
    ]);
    await end();
    // Another stream knows nothing of this one.
    const other = open(address);
    const again = await other.ask({ case: "fileByFilename", value: "everhop/v1/models_service.proto" });
    expect(namesOf(again)).toContain("everhop/v1/access.proto");
    await other.end();
  });

  test("tells of every service all that a program needs, and who may call its methods", async () => {
    const { address } = await startOpen();
    const { ask, end } = open(address);
    const files = new Map<string, FileDescriptorProto>();
    const roots: FileDescriptorProto[] = [];
    for (const value of services) {
      const answered = filesOf(await ask({ case: "fileContainingSymbol", value }));
      for (const each of answered) files.set(each.name, each);
      roots.push(...answered.slice(0, 1));
    }
    await end();
    // Throws when something is imported that was not sent.
    const registry = createRegistry(...roots.map((root) => createFileRegistry(root, (name) => files.get(name))));
    for (const service of services) expect(registry.getService(service)?.methods.length, service).toBeGreaterThan(0);
    const chat = registry.getService("everhop.v1.ChatService");
    expect(chat?.methods.map((method) => [method.name, method.methodKind, getOption(method, access)])).toEqual([
      ["CompleteChat", "unary", 2],
      ["StreamChat", "server_streaming", 2],
    ]);
    expect(registry.getMessage("everhop.v1.ChatOptions")?.field["retryCount"]?.number).toBe(4);
  });

  test.each([
    ["a message", "everhop.v1.Prompt", "prompt"],
    ["a field", "everhop.v1.Prompt.messages", "prompt"],
    ["an optional field", "everhop.v1.ChatOptions.retry_count", "chat_service"],
    ["a oneof", "everhop.v1.CompletionEvent.kind", "completion"],
    ["an enum", "everhop.v1.SkipReason", "route_trail"],
    ["a value of an enum", "everhop.v1.SKIP_REASON_NO_KEY", "route_trail"],
    ["a service", "everhop.v1.ModelsService", "models_service"],
    ["a method", "everhop.v1.ModelsService.GetModel", "models_service"],
    ["an extension", "everhop.v1.access", "access"],
  ])("finds the file of %s", async (_, value, file) => {
    const { address } = await startOpen();
    const { ask, end } = open(address);
    expect(namesOf(await ask({ case: "fileContainingSymbol", value }))[0]).toBe(`everhop/v1/${file}.proto`);
    await end();
  });

  test("finds what is nested, whatever its package", async () => {
    const { address } = await startOpen();
    const { ask, end } = open(address);
    const health = "grpc/health/v1/health.proto";
    for (const value of ["ServingStatus", "SERVICE_UNKNOWN"].map(
      (name) => `grpc.health.v1.HealthCheckResponse.${name}`,
    )) {
      expect(namesOf(await ask({ case: "fileContainingSymbol", value }))).toEqual([health]);
    }
    await end();
  });

  test("finds extensions by their number", async () => {
    const { address } = await startOpen();
    const { ask, end } = open(address);
    const containingType = "google.protobuf.MethodOptions";
    const extension = (extensionNumber: number, type = containingType): Question => ({
      case: "fileContainingExtension",
      value: create(v1.ExtensionRequestSchema, { containingType: type, extensionNumber }),
    });
    expect(namesOf(await ask(extension(50_601)))[0]).toBe("everhop/v1/access.proto");
    expect(await ask({ case: "allExtensionNumbersOfType", value: containingType })).toMatchObject({
      messageResponse: {
        case: "allExtensionNumbersResponse",
        value: { baseTypeName: containingType, extensionNumber: [50_601] },
      },
    });
    expect(await ask({ case: "allExtensionNumbersOfType", value: "everhop.v1.Prompt" })).toMatchObject({
      messageResponse: { case: "allExtensionNumbersResponse", value: { extensionNumber: [] } },
    });
    for (const wrong of [
      extension(1),
      extension(50_601, "google.protobuf.FieldOptions"),
      extension(50_601, "no.Such"),
    ]) {
      expect(await ask(wrong)).toMatchObject({ messageResponse: { case: "errorResponse", value: { errorCode: 5 } } });
    }
    await end();
  });

  test.each<[string, Question]>([
    ["a file", { case: "fileByFilename", value: "everhop/v1/secrets.proto" }],
    ["an empty name", { case: "fileByFilename", value: "" }],
    ["a path upward", { case: "fileByFilename", value: "../../etc/passwd" }],
    ["a symbol", { case: "fileContainingSymbol", value: "everhop.v1.NoService" }],
    ["a package", { case: "fileContainingSymbol", value: "everhop.v1" }],
    ["a name of JavaScript", { case: "fileContainingSymbol", value: "constructor" }],
    ["extensions of no message", { case: "allExtensionNumbersOfType", value: "everhop.v1.NoMessage" }],
    ["extensions of a service", { case: "allExtensionNumbersOfType", value: "everhop.v1.ChatService" }],
  ])("says that there is none when asked for %s that is not, and goes on", async (_, question) => {
    const { address } = await startOpen();
    const { ask, end } = open(address);
    const { messageResponse, originalRequest } = await ask(question);
    expect(messageResponse).toMatchObject({
      case: "errorResponse",
      value: { errorCode: 5, errorMessage: expect.stringContaining(String(question.value)) },
    });
    expect(originalRequest?.messageRequest).toEqual(question);
    expect((await ask({ case: "listServices", value: "" })).messageResponse.case).toBe("listServicesResponse");
    await end();
  });

  test("ends the stream when nothing is asked", async () => {
    const { address } = await startOpen();
    await expect(open(address).ask({ case: undefined })).rejects.toMatchObject({ code: 3 });
  });

  test("does not hold up a gateway that leaves", async () => {
    const { address, gateway, listener, clock } = await startOpen();
    const { ask, next } = open(address);
    await ask({ case: "listServices", value: "" });
    const end = next().catch((error: unknown) => error);
    // Far longer than the test may take.
    await drain({ gateway, listener, clock }, { preStopMs: 0, graceMs: 3_600_000 });
    expect(await end).toMatchObject({ code: 14 });
  });
});

describe("buf curl without any file", () => {
  const run = promisify(execFile);
  const buf = join(import.meta.dirname, "..", "..", "node_modules", ".bin", "buf");
  // Somewhere that has no proto files.
  const curl = async (...flags: string[]) =>
    (await run(buf, ["curl", "--http2-prior-knowledge", "--reflect", ...flags], { cwd: tmpdir() })).stdout;
  const prompt = { model: "think", messages: [{ role: "ROLE_USER", parts: [{ text: "a nonce for reflection 🦘" }] }] };

  test.each([
    ["grpc", "grpc-v1"],
    ["grpc", "grpc-v1alpha"],
    ["connect", "grpc-v1"],
    ["grpcweb", "grpc-v1"],
  ])("calls by %s what it has learnt by %s", async (protocol, reflection) => {
    const { address, trails } = await startOpen();
    const flags = ["--protocol", protocol, "--reflect-protocol", reflection];
    const listed = await curl(...flags, "--list-services", address);
    expect(listed.trim().split("\n").sort()).toEqual(services);
    const method = `${address}/everhop.v1.ChatService/CompleteChat`;
    const answer = await curl(...flags, "--data", JSON.stringify({ prompt }), method);
    expect(JSON.parse(answer)).toMatchObject({
      completion: { candidates: [{ message: { parts: [{ text: "You said: a nonce for reflection 🦘" }] } }] },
      trail: { attempts: [{ provider: "a" }, { provider: "b", outcome: "ATTEMPT_OUTCOME_OK" }] },
    });
    expect(trails.length).toBe(1);
    const health = await curl(
      ...flags,
      "--data",
      '{"service":"model/think"}',
      `${address}/grpc.health.v1.Health/Check`,
    );
    expect(JSON.parse(health)).toEqual({ status: "SERVING" });
  });
});
