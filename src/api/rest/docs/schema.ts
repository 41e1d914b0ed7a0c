/** Types of JSON as JSON Schema names them. */
export type TypeName = "string" | "number" | "integer" | "boolean" | "object" | "array" | "null";

/** A JSON Schema (2020-12), as far as the document of the API uses it. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: TypeName | readonly TypeName[];
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly enum?: readonly (string | null)[];
  readonly const?: string;
  readonly format?: string;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly maxLength?: number;
  readonly deprecated?: boolean;
  /** A member of the gateway's own, which no provider is sent. */
  readonly "x-everhop"?: true;
}

/** Points to a schema that the document has under a name. */
export function ref(name: string): Schema {
  return { $ref: `#/components/schemas/${name}` };
}
