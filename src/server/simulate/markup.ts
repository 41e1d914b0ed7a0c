import { escaped, Html, htmlTemplate } from "../../api/rest/docs/html.ts";
import { plainText } from "./words.ts";

export { Html };

/** A template of HTML in which texts are escaped, and freed of what would turn the text around them about. */
export const html = htmlTemplate((text) => escaped(plainText(text)));

/** Data as it may stand in a script element: nothing in it ends the element. */
export function embedded(data: unknown): Html {
  return new Html(
    JSON.stringify(data, (_, value) => (typeof value === "string" ? plainText(value) : value)).replace(/</g, "\\u003c"),
  );
}
