import { create, type DescMessage, type DescMethod, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import { type CallOptions, Client, credentials, Metadata, type ServiceError, type StatusObject } from "@grpc/grpc-js";

/** gRPC as `@grpc/grpc-js` speaks it, behind the interface by which Connect's clients are made: what goes over the wire is grpc-js's own. */
export function createGrpcJsTransport(address: string): { transport: Transport; close(): void } {
  const client = new Client(address.replace("http://", ""), credentials.createInsecure());
  const transport: Transport = {
    unary(method, signal, timeoutMs, header, input) {
      return new Promise((resolve, reject) => {
        const responseHeader = new Headers();
        const trailer = new Headers();
        const call = client.makeUnaryRequest(
          pathOf(method),
          (message) => Buffer.from(toBinary(method.input, message)),
          (bytes) => fromBinary(method.output, bytes),
          create(method.input, input),
          metadataOf(header),
          optionsOf(timeoutMs),
          (error, message) => {
            if (error) return reject(connectErrorOf(error));
            if (!message) return reject(new ConnectError("no message", Code.Internal));
            // The status follows the message: without its trailers the answer is not whole.
            call.on("status", (status: StatusObject) => {
              copy(status.metadata, trailer);
              resolve({
                stream: false,
                service: method.parent,
                method,
                header: responseHeader,
                trailer,
                message,
              });
            });
          },
        );
        call.on("metadata", (metadata) => copy(metadata, responseHeader));
        signal?.addEventListener("abort", () => call.cancel());
      });
    },
    async stream(method, signal, timeoutMs, header, input) {
      const { value: request } = await input[Symbol.asyncIterator]().next();
      const responseHeader = new Headers();
      const trailer = new Headers();
      const call = client.makeServerStreamRequest(
        pathOf(method),
        (message: MessageShape<typeof method.input>) => Buffer.from(toBinary(method.input, message)),
        (bytes) => fromBinary(method.output, bytes),
        create(method.input, request),
        metadataOf(header),
        optionsOf(timeoutMs),
      );
      signal?.addEventListener("abort", () => call.cancel());
      call.on("status", (status) => copy(status.metadata, trailer));
      // An error that comes before somebody iterates is not kept by the stream itself.
      let failure: ServiceError | undefined;
      call.on("error", (error) => {
        failure = error as ServiceError; // what a call of grpc-js fails with
      });
      await new Promise<void>((resolve) => {
        call.once("metadata", (metadata) => {
          copy(metadata, responseHeader);
          resolve();
        });
        call.once("error", () => resolve());
      });
      async function* messages() {
        try {
          yield* call;
        } catch (error) {
          failure ??= error as ServiceError; // as above
        } finally {
          call.cancel();
        }
        if (failure) throw connectErrorOf(failure);
      }
      return {
        stream: true,
        service: method.parent,
        method,
        header: responseHeader,
        trailer,
        message: messages(),
      };
    },
  };
  return { transport, close: () => client.close() };
}

function pathOf(method: DescMethod & { input: DescMessage }): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function metadataOf(header: ConstructorParameters<typeof Headers>[0]): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of new Headers(header)) metadata.set(name, value);
  return metadata;
}

function optionsOf(timeoutMs: number | undefined): CallOptions {
  return timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
}

function copy(metadata: Metadata, headers: Headers): void {
  for (const name of Object.keys(metadata.getMap())) {
    for (const value of metadata.get(name)) {
      headers.append(name, typeof value === "string" ? value : value.toString("base64"));
    }
  }
}

/** A status with its details as Connect's clients have it. */
function connectErrorOf({ code, details, metadata }: ServiceError): ConnectError {
  const headers = new Headers();
  copy(metadata, headers);
  headers.set("grpc-status", String(code));
  headers.set("grpc-message", encodeURIComponent(details));
  const error = findTrailerError(headers);
  if (!error) throw new Error("a failed call with a status of success");
  for (const [name, value] of headers) error.metadata.set(name, value);
  return error;
}
