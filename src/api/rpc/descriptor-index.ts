import { type DescFile, type DescService, toBinary } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";

/** What can be asked of a set of files. */
export interface DescriptorIndex {
  /** Full names, sorted. */
  readonly services: readonly string[];
  /** @param name as in an import: `google/protobuf/any.proto` */
  fileNamed(name: string): DescFile | undefined;
  /** The file that declares a full name, whatever it names. */
  fileDeclaring(symbol: string): DescFile | undefined;
  fileExtending(message: string, number: number): DescFile | undefined;
  /** Sorted. Undefined: there is no such message. */
  extensionNumbers(message: string): readonly number[] | undefined;
  /** A file and all that it imports, also indirectly, each once. */
  withImports(file: DescFile): readonly DescFile[];
  /** A serialized FileDescriptorProto. */
  bytesOf(file: DescFile): Uint8Array<ArrayBuffer>;
}

type Nested = ReturnType<typeof nestedTypes> extends Iterable<infer Type> ? Type : never;

/** Indexes the files of services, further files, and all that they import. */
export function createDescriptorIndex(
  services: readonly DescService[],
  furtherFiles: readonly DescFile[] = [],
): DescriptorIndex {
  const files = withImports([...services.map(({ file }) => file), ...furtherFiles]);
  const byName = new Map(files.map((file) => [file.proto.name, file]));
  const bySymbol = new Map(files.flatMap((file) => [...symbolsOf(file)].map((symbol) => [symbol, file] as const)));
  const types = files.flatMap((file) => [...nestedTypes(file)]);
  const messages = new Set(types.flatMap(({ kind, typeName }) => (kind === "message" ? typeName : [])));
  const extensions = extensionsOf(types);
  /** Made when first asked for: most files never are. */
  const bytes = new Map<DescFile, Uint8Array<ArrayBuffer>>();

  return {
    services: services.map(({ typeName }) => typeName).sort(),
    fileNamed: (name) => byName.get(name),
    fileDeclaring: (symbol) => bySymbol.get(symbol),
    fileExtending: (message, number) => extensions.get(message)?.get(number),
    extensionNumbers: (message) => {
      const numbers = extensions.get(message);
      if (numbers) return [...numbers.keys()].sort((a, b) => a - b);
      return messages.has(message) ? [] : undefined;
    },
    withImports: (file) => withImports([file]),
    bytesOf(file) {
      const made = bytes.get(file) ?? toBinary(FileDescriptorProtoSchema, file.proto);
      bytes.set(file, made);
      return made;
    },
  };
}

function withImports(files: readonly DescFile[]): readonly DescFile[] {
  const all = new Set(files);
  // A set that grows while it is walked is walked to its new end.
  for (const file of all) for (const imported of file.dependencies) all.add(imported);
  return [...all];
}

/** Every full name that a file declares. Values of an enum are its siblings, not its children. */
function* symbolsOf(file: DescFile): Generator<string> {
  for (const type of nestedTypes(file)) {
    yield type.typeName;
    switch (type.kind) {
      case "message":
        for (const { name } of [...type.fields, ...type.oneofs]) yield `${type.typeName}.${name}`;
        break;
      case "service":
        for (const { name } of type.methods) yield `${type.typeName}.${name}`;
        break;
      case "enum": {
        const scope = type.parent?.typeName ?? file.proto.package;
        for (const { name } of type.values) yield scope ? `${scope}.${name}` : name;
        break;
      }
      default:
    }
  }
}

/** The files of extensions, by the message that they extend, then by number. */
function extensionsOf(types: readonly Nested[]): Map<string, Map<number, DescFile>> {
  const extensions = new Map<string, Map<number, DescFile>>();
  for (const type of types) {
    if (type.kind !== "extension") continue;
    const numbers = extensions.get(type.extendee.typeName) ?? new Map<number, DescFile>();
    extensions.set(type.extendee.typeName, numbers.set(type.number, type.file));
  }
  return extensions;
}
