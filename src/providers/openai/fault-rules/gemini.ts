import type { FaultRules } from "./fault-rule.ts";

/**
 * Gemini's OpenAI surface: Google's errors in a list, named by a status in words and reasons in `details`. A bad key is a 400, and
 * a limit of a minute is worded like an empty account.
 */
export const gemini: FaultRules = {
  dialect: "gemini",
  words: {
    key_refused: [
      "api_key_invalid",
      "api_key_service_blocked",
      "api_key_ip_address_blocked",
      "api_key_http_referrer_blocked",
      "consumer_suspended",
      "consumer_invalid",
      "service_disabled",
      "access_token_expired",
    ],
    quota_exhausted: ["billing_disabled"],
    rate_limited: ["ratelimitexceeded"],
  },
  messages: [
    { kind: "key_refused", says: /^(api key (not valid|not found|expired)|your api key was reported as leaked)\b/i },
    { kind: "key_refused", says: /^(missing or invalid authorization header|multiple authentication credentials)\b/i },
    // It is this gateway that stands in the wrong country, not the caller.
    { kind: "key_refused", says: /^(user location is not supported|gemini api free tier is not available)\b/i },
    {
      kind: "context_length_exceeded",
      says: /^the input token count (\(\d+\) )?exceeds the maximum number of tokens allowed/i,
    },
  ],
};
