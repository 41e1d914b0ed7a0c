import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";

/**
 * Makes messages of one type by copying an empty one, which is many times as fast as `create`: that looks at every field that the
 * type has. In return fields are to be given as they are in the message, with the messages in them made already. A list or a map
 * that is not given can never be added to.
 */
export function messageMaker<Desc extends DescMessage>(
  schema: Desc,
): (fields: Readonly<Partial<MessageShape<Desc>>>) => MessageShape<Desc> {
  const empty = create(schema);
  // Every message that does not have its own shares them.
  for (const value of Object.values(empty)) if (typeof value === "object") Object.freeze(value);
  return (fields) => ({ ...empty, ...fields });
}
