// Connect's types name a type of the DOM library, which a server does not load.
type HeadersInit = NonNullable<ConstructorParameters<typeof Headers>[0]>;
