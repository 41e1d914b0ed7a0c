// Connect's types name a type of the DOM library, which a server does not load.
type HeadersInit = NonNullable<ConstructorParameters<typeof Headers>[0]>;

// In V8 since Node 21, not yet in TypeScript's library.
interface JSON {
  /** A value that stringifies to exactly this text, which must be a JSON primitive. */
  rawJSON(text: string): object;
}
