import type { DescFile } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import type {
  ServerReflectionRequest as Request,
  ServerReflection,
} from "../../../gen/ts/grpc/reflection/v1/reflection_pb.ts";
import type {
  ServerReflectionRequest as AlphaRequest,
  ServerReflection as AlphaServerReflection,
} from "../../../gen/ts/grpc/reflection/v1alpha/reflection_pb.ts";
import type { Edge } from "../edge.ts";
import type { DescriptorIndex } from "./descriptor-index.ts";

/**
 * Server reflection: tools learn from it which services there are and what their messages are made of. The two versions differ in
 * their package alone, so one object implements both.
 */
export function serverReflection(
  edge: Edge,
  index: DescriptorIndex,
): ServiceImpl<typeof ServerReflection> & ServiceImpl<typeof AlphaServerReflection> {
  return {
    serverReflectionInfo: <R extends Request | AlphaRequest>(requests: AsyncIterable<R>) =>
      answers(edge, index, requests),
  };
}

/** Answers question after question. A file that was sent before on the stream is sent again only when it is what is asked for. */
async function* answers<R extends Request | AlphaRequest>(
  edge: Edge,
  index: DescriptorIndex,
  requests: AsyncIterable<R>,
) {
  const sent = new Set<DescFile>();
  for await (const request of untilClosing(edge, requests)) {
    const messageResponse = answerTo(request.messageRequest, index, sent);
    yield { validHost: request.host, originalRequest: request, messageResponse };
  }
}

/** An answer, in what the messages of both versions are made of. */
type Answer =
  | { readonly case: "fileDescriptorResponse"; readonly value: { readonly fileDescriptorProto: Uint8Array[] } }
  | {
      readonly case: "allExtensionNumbersResponse";
      readonly value: { readonly baseTypeName: string; readonly extensionNumber: number[] };
    }
  | { readonly case: "listServicesResponse"; readonly value: { readonly service: { readonly name: string }[] } }
  | { readonly case: "errorResponse"; readonly value: { readonly errorCode: number; readonly errorMessage: string } };

/** @throws ConnectError when nothing was asked */
function answerTo(
  question: (Request | AlphaRequest)["messageRequest"],
  index: DescriptorIndex,
  sent: Set<DescFile>,
): Answer {
  switch (question.case) {
    case "fileByFilename":
      return fileAnswer(index.fileNamed(question.value), question.value, index, sent);
    case "fileContainingSymbol":
      return fileAnswer(index.fileDeclaring(question.value), question.value, index, sent);
    case "fileContainingExtension": {
      const { containingType, extensionNumber } = question.value;
      const file = index.fileExtending(containingType, extensionNumber);
      return fileAnswer(file, `extension ${extensionNumber} of ${containingType}`, index, sent);
    }
    case "allExtensionNumbersOfType": {
      const numbers = index.extensionNumbers(question.value);
      if (!numbers) return notFound(question.value);
      const value = { baseTypeName: question.value, extensionNumber: [...numbers] };
      return { case: "allExtensionNumbersResponse", value };
    }
    case "listServices":
      return { case: "listServicesResponse", value: { service: index.services.map((name) => ({ name })) } };
    default:
      throw new ConnectError("message_request: expected one of its kinds, got none", Code.InvalidArgument);
  }
}

function fileAnswer(file: DescFile | undefined, asked: string, index: DescriptorIndex, sent: Set<DescFile>): Answer {
  if (!file) return notFound(asked);
  const files = index.withImports(file).filter((each) => each === file || !sent.has(each));
  for (const each of files) sent.add(each);
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto: files.map(index.bytesOf) } };
}

function notFound(asked: string): Answer {
  return {
    case: "errorResponse",
    value: { errorCode: Code.NotFound, errorMessage: `not found: ${asked.slice(0, 200).toWellFormed()}` },
  };
}

/**
 * Hands questions on until the process closes: tools keep the stream for as long as their window is open, and it would hold up the
 * leaving for all of its grace.
 * @throws ConnectError once it closes
 */
async function* untilClosing<T>(edge: Edge, requests: AsyncIterable<T>): AsyncGenerator<T> {
  const iterator = requests[Symbol.asyncIterator]();
  let close = () => {};
  const look = () => {
    if (edge.stage() === "closing") close();
  };
  const stopListening = edge.onStage(look);
  try {
    while (true) {
      const next = await new Promise<IteratorResult<T> | undefined>((resolve, reject) => {
        close = () => resolve(undefined);
        look();
        iterator.next().then(resolve, reject);
      });
      if (!next) throw new ConnectError("the gateway is shutting down", Code.Unavailable);
      if (next.done) return;
      yield next.value;
    }
  } finally {
    stopListening();
  }
}
