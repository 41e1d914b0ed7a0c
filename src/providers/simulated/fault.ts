/** The shapes in which servers are known to word an error; see `error-body.ts`. */
export const errorShapes = ["openai", "integer_code", "bare_string", "detail", "detail_list", "text", "html"] as const;

/** One of the shapes in which servers are known to word an error. */
export type ErrorShape = (typeof errorShapes)[number];

/** What an error says. Everything left out follows from the status. */
export interface ErrorWords {
  code?: string | number;
  type?: string;
  message?: string;
}

/** Where in a stream a fault strikes. */
interface After {
  /**
   * How many events are sent before, the one with the role included: 0 is before anything, 1 before the first content.
   * Default 3. Capped so that no finish reason ever gets out before the fault. In a unary answer: in the middle of the body.
   */
  events?: number;
}

/** What any fault may add, the healthy answer (`none`) included. */
interface Pace {
  /** Milliseconds of silence before the fault begins, headers included. Default 0. */
  delayMs?: number;
  /** Replaces the provider's pace for this one answer. */
  tokensPerSecond?: number;
}

/**
 * What may go wrong with one answer. The kinds come in five families: healthy; no answer at all; a success that is none;
 * an answer that breaks off; an answer that is complete but oddly put, which a client must survive without noticing.
 */
export type Fault = Pace &
  (
    | { kind: "none" }
    // No answer.
    /** An error status with an error body. `headers` may carry anything, `retry-after` for one. */
    | ({ kind: "status"; status: number; shape?: ErrorShape; headers?: Record<string, string> } & ErrorWords)
    /** RST once the request has been read. */
    | { kind: "reset_before_headers" }
    /** FIN once the request has been read. */
    | { kind: "close_before_headers" }
    /** Not one byte, until the client leaves. */
    | { kind: "silence" }
    /** Status and headers of a success, then nothing until the client leaves. */
    | { kind: "headers_then_silence" }
    /** A 302 to another host. */
    | { kind: "redirect"; location?: string }
    /** A 404 in plain text, as from a proxy that does not know the path. */
    | { kind: "wrong_path" }
    // A success that is none.
    /** 200 with a web page. */
    | { kind: "html" }
    /** 200 with `application/json` that is not JSON. */
    | { kind: "not_json" }
    /** 200 with an empty body. */
    | { kind: "empty" }
    /** The headers of an event stream and a clean end. */
    | { kind: "empty_stream" }
    /** 200 with a JSON error, also where a stream was asked for. */
    | ({ kind: "json_error_in_200" } & ErrorWords)
    /** A well-formed answer of no content and no tokens. */
    | { kind: "no_content" }
    /** An error as the only event of the stream. */
    | ({ kind: "error_event_first" } & ErrorWords)
    // An answer that breaks off.
    /** An error event in the middle, then a clean end. */
    | ({ kind: "error_event_after" } & After & ErrorWords)
    /** FIN without the end of the body. */
    | ({ kind: "cut_after" } & After)
    /** RST. */
    | ({ kind: "reset_after" } & After)
    /** A clean end of the body, but without finish reason and `[DONE]`. */
    | ({ kind: "end_after" } & After)
    /** Silence until the client leaves. */
    | ({ kind: "stall_after" } & After)
    /** An event that is not JSON; then the stream goes on as if nothing had been. */
    | ({ kind: "malformed_after" } & After)
    /** Half of the next event, then FIN. */
    | ({ kind: "half_event_then_cut" } & After)
    /**
     * Fewer bytes than `content-length` promised, then FIN. Of a unary answer all the JSON comes, so that only the length
     * tells; of a stream all but its end.
     */
    | { kind: "short_content_length" }
    // Complete, but oddly put.
    /** Byte by byte, each in a write of its own. `msPerByte` defaults to 1; with less, a reader may get several at once. */
    | { kind: "drip"; msPerByte?: number }
    /** All finish reasons, no `[DONE]`. */
    | { kind: "no_done" }
    /** Whole, but the body is ended `ms` (default 6,000) later. */
    | { kind: "hold_open_after_done"; ms?: number }
    /** The event with the usage comes `ms` (default 200) after the finish reason. */
    | { kind: "late_usage"; ms?: number }
    /** Usage inside of the chunk with the finish reason, asked for or not. */
    | { kind: "usage_in_finish" }
    /** The event with the usage has a choice, with nothing in it, instead of none. */
    | { kind: "usage_with_choice" }
    /** Usage that makes no sense: a negative number, a string, a number beyond exactness. */
    | { kind: "rubbish_usage" }
    /** The finish reason rides on the last content. */
    | { kind: "finish_with_content" }
    /** One more content delta after its candidate's finish reason: an empty one, as proxies send. */
    | { kind: "delta_after_finish" }
    /** The last candidate's finish reason is missing, yet `[DONE]` is there. */
    | { kind: "missing_finish" }
    /** The candidate of the highest index always comes first. */
    | { kind: "candidates_reversed" }
    /** `null` for content, role and tool calls in every delta that has none. */
    | { kind: "null_deltas" }
    /** Choices and deltas without the members that are `null`, finish reasons among them. */
    | { kind: "bare_choices" }
    /** Chunks without any choice between the others. */
    | { kind: "empty_choices" }
    /** Another id in every chunk. */
    | { kind: "new_ids" }
    /** Comment lines, as keep-alives, between the events. */
    | { kind: "comments" }
    /** Lines end in CR LF, and there is no space after `data:`. */
    | { kind: "crlf" }
    /** The stream calls itself `text/plain`. */
    | { kind: "text_plain" }
    /** `[DONE]`, then another event and `[DONE]` again. */
    | { kind: "data_after_done" }
    /** One event, or the body, carries `bytes` (default 2 MiB) of padding in one line. */
    | { kind: "long_line"; bytes?: number }
    /** Bytes that are not UTF-8 in a vendor's field of one event, or of the body. */
    | { kind: "invalid_utf8" }
    /** `102 Processing` before the answer. */
    | { kind: "processing" }
  );

/** The name of a fault. */
export type FaultKind = Fault["kind"];
