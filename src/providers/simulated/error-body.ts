import type { ErrorShape, ErrorWords } from "./fault.ts";

/** An error worded in full. */
export interface ErrorText {
  contentType: string;
  text: string;
}

/** Type and code by which servers call the usual statuses. */
const usual: { readonly [status: number]: { type: string; code: string | null } } = {
  400: { type: "invalid_request_error", code: null },
  401: { type: "invalid_request_error", code: "invalid_api_key" },
  402: { type: "billing_error", code: "insufficient_credits" },
  403: { type: "permission_error", code: "permission_denied" },
  404: { type: "invalid_request_error", code: "not_found" },
  408: { type: "timeout_error", code: "request_timeout" },
  409: { type: "conflict_error", code: "conflict" },
  413: { type: "invalid_request_error", code: "request_too_large" },
  422: { type: "invalid_request_error", code: "unprocessable_entity" },
  429: { type: "rate_limit_error", code: "rate_limit_exceeded" },
  503: { type: "overloaded_error", code: "service_unavailable" },
  529: { type: "overloaded_error", code: "overloaded" },
};

/** The `{"error": …}` object as OpenAI words it. What is left out of `words` follows from the status. */
export function openAiError(status: number, words: ErrorWords & { param?: string | null }): string {
  const { type, code } =
    usual[status] ??
    (status >= 500 ? { type: "server_error", code: "internal_error" } : { type: "invalid_request_error", code: null });
  return JSON.stringify({
    error: {
      message: words.message ?? `Simulated failure ${status}.`,
      type: words.type ?? type,
      param: words.param ?? null,
      code: words.code ?? code,
    },
  });
}

/** An error in one of the shapes that servers use. */
export function errorText(status: number, shape: ErrorShape, words: ErrorWords): ErrorText {
  const message = words.message ?? `Simulated failure ${status}.`;
  switch (shape) {
    case "openai":
      return { contentType: "application/json", text: openAiError(status, words) };
    case "integer_code":
      return {
        contentType: "application/json; charset=utf-8",
        text: openAiError(status, { ...words, code: words.code ?? status }),
      };
    case "bare_string":
      return { contentType: "application/json", text: JSON.stringify({ error: message }) };
    case "detail":
      return { contentType: "application/json", text: JSON.stringify({ detail: message }) };
    case "detail_list":
      return {
        contentType: "application/json",
        text: JSON.stringify({
          detail: [{ type: words.type ?? "value_error", loc: ["body"], msg: message, input: {} }],
        }),
      };
    case "text":
      return { contentType: "text/plain; charset=utf-8", text: message };
    case "html":
      return { contentType: "text/html; charset=utf-8", text: page(`${status} ${message}`) };
  }
}

/** A web page of one heading, as proxies and firewalls send. */
export function page(heading: string): string {
  const safe = heading.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<!DOCTYPE html>\n<html><head><title>${safe}</title></head><body><h1>${safe}</h1></body></html>\n`;
}
