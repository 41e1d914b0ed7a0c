import type { Fault, UpstreamWords } from "../chat/fault.ts";

/** What might be done about one kind of fault, the particular before the common. */
interface Advice {
  /** By what the provider's message says; its own words are never repeated. */
  readonly says?: readonly (readonly [RegExp, string])[];
  /** By the provider's code, in lower case. */
  readonly codes?: Readonly<Record<string, string>>;
  readonly statuses?: Readonly<Record<number, string>>;
  readonly otherwise?: string;
}

const closed =
  "the provider has closed or restricted the key's account: ask its support, and take the key out meanwhile";
const expired = "the key has expired: make a new one with the provider, and put it into providers[].keys";
const wrongCountry = "the provider does not serve this country: run the gateway elsewhere, or use another provider";
const spendLimit = "a spend limit that was set with the provider is reached: raise it there";
const noTier = "no room in this service tier: choose another one in params, or add a target";
const gaveUp = "failed waiting: a proxy on the way gave up. Let the target stream (params: { stream: true })";

/**
 * What an operator might do about a failed attempt: by its kind and what the provider calls it, in a line that fits into a trail. What
 * is the caller's own to mend has none.
 */
const table: Readonly<Partial<Record<Fault["kind"], Advice>>> = {
  rate_limited: {
    says: [
      [
        /^request too large for\b|^this request is too large\b/i,
        "this one request is beyond the key's tokens a minute: raise the tier with the provider, or add a target",
      ],
      [
        /^this request requires more credits\b/i,
        "this call may cost more than is left: add credits, or set a lower max_tokens in defaults.params",
      ],
      [/free[-_ ]?tier/i, "a free tier's rate limit: turn billing on with the provider, or add keys of other projects"],
      [
        /\bper ?day|perday|\b[RT]PD\b/i,
        "the rate limit of a whole day: add keys of other accounts, or a provider that takes over",
      ],
      [
        /\btokens per min|\bTPM\b/i,
        "out of tokens a minute: add keys of other organizations, or raise the rate limit with the provider",
      ],
      [
        /\brequests per (min|sec)|\bRP[MS]\b/i,
        "out of requests a minute: set max_rps below the rate limit, or add keys of other organizations",
      ],
      [/\bconcurren/i, "too many calls at once: set max_concurrent to what the provider's rate limits allow"],
    ],
    codes: {
      resource_exhausted: "the project's quota or rate is spent, which its keys share: add keys of others, or raise it",
      throttling_error: "the proxy limits this key's rate: raise its rpm and tpm there",
      ...each(
        ["in_flight_budget_exhausted", "openrouter_in_flight_budget"],
        "calls under way hold the rest of the budget: add credits, or set max_concurrent",
      ),
      weight_exceeds_budget: "this call may cost more than is left: add credits, or set a lower max_tokens",
    },
    otherwise: "add keys or providers, or raise the rate limit",
  },
  quota_exhausted: {
    says: [[/^out of call volume quota\b/i, "the API gateway's call volume is spent: raise its quota there"]],
    codes: {
      insufficient_quota:
        "no quota left: check plan, budget and balance with the provider, or add another account's key",
      billing_not_active: "billing is not active for the account: set up how it pays with the provider",
      billing_disabled: "billing is off for the key's project: turn it on with the provider",
      ...each(
        [
          "billing_hard_limit_reached",
          "organization_spend_limit_exceeded",
          "organization_usage_limit_exceeded",
          "project_spend_limit_exceeded",
          "blocked_api_access",
          "personal-team-blocked:spending-limit",
        ],
        spendLimit,
      ),
      budget_exceeded: "the budget of the proxy's key, team or user is spent: raise it there",
      openrouter_key_limit: "the key's own credit limit is reached: raise it in the provider's settings of the key",
      ...each(
        ["openrouter_guardrail_budget", "openrouter_workspace_budget"],
        "a budget of the workspace is spent: raise it in the provider's settings",
      ),
    },
    otherwise: "no balance or quota left: top the account up",
  },
  key_refused: {
    says: [
      [
        /\breported as leaked\b/i,
        "the provider found the key in public and blocked it: make a new one, and find the leak",
      ],
      [/\blocation is not supported\b|\bcountry, region\b/i, wrongCountry],
      [
        /\bhas not been used in project\b|\bapi is (disabled|not enabled)\b/i,
        "the API is off in the key's project: turn it on with the provider",
      ],
      [
        /\bsubscription key or wrong api endpoint\b/i,
        "key and base_url must be of the same resource: check both of the provider",
      ],
      [/\bmissing scopes?\b/i, "the key is restricted: give it the scopes to ask models, or use another one"],
      [/\b(deactivated|suspended)\b/i, closed],
      [/\bexpired\b/i, expired],
    ],
    codes: {
      ...each(
        ["invalid_api_key", "authentication_error", "api_key_invalid", "unauthenticated:bad-credentials"],
        "check that the key is valid, and one of this provider's: providers[].keys",
      ),
      ...each(
        [
          "account_deactivated",
          "organization_deactivated",
          "access_terminated",
          "organization_restricted",
          "consumer_suspended",
        ],
        closed,
      ),
      ...each(["expired_key", "access_token_expired", "token_expired"], expired),
      ...each(
        ["invalid_organization", "mismatched_organization"],
        "the key is not of the organization or project that it is used for: take one of its own",
      ),
      ...each(
        ["ip_not_authorized", "api_key_ip_address_blocked"],
        "the key may not be used from this address: allow it in the provider's settings of the key",
      ),
      api_key_http_referrer_blocked: "the key is for web pages: make one for servers with the provider",
      ...each(
        ["service_disabled", "api_key_service_blocked"],
        "the API is off for this key: turn it on in its project with the provider",
      ),
      unsupported_country_region_territory: wrongCountry,
      ...each(
        ["permission_error", "permission_denied"],
        "the key is known but may not use this: check its permissions, project and models with the provider",
      ),
      ...each(
        ["token_not_found_in_db", "no_db_connection"],
        "the proxy does not know this key: make one there, or use its master key",
      ),
    },
    otherwise: "check that the key is valid and may use this",
  },
  model_unavailable: {
    says: [
      [
        /^no (endpoints found|allowed providers)\b/i,
        "nobody behind the router serves the model as asked: check its privacy settings and preferences",
      ],
      [/^server is pinned to\b/i, "the server has one model only: name that in models[].targets[].model"],
      [/\bmust be verified\b/i, "the organization must be verified with the provider before it may use this model"],
    ],
    codes: {
      ...each(
        ["model_not_found", "not_found_error", "notfounderror", "invalid_model", "unknown_model", "not_found"],
        "no such model for this key: check models[].targets[].model, and what the account has access to",
      ),
      deploymentnotfound: "no such deployment: targets[].model is the deployment's name; a new one takes some minutes",
      operationnotsupported: "the deployment's model does not chat: point the target at one that does",
      model_decommissioned: "the provider has retired this model: point models[].targets[].model at its successor",
      ...each(
        ["model_permission_blocked_org", "model_permission_blocked_project"],
        "the model is blocked in the provider's settings of the organization or project: allow it there",
      ),
      model_terms_required: "the model's terms must be accepted in the provider's console first",
      ...each(
        [
          "key_model_access_denied",
          "team_model_access_denied",
          "user_model_access_denied",
          "org_model_access_denied",
          "project_model_access_denied",
        ],
        "the proxy's key, team or user may not use this model: allow it there",
      ),
    },
    otherwise: "not served to this key: check the target's model",
  },
  context_length_exceeded: {
    codes: {
      exceed_context_size_error:
        "start llama-server with a larger --ctx-size, or add a target with a larger context_window",
    },
    otherwise: "give the model a target with a larger context_window",
  },
  refused_request: {
    codes: {
      ...each(
        ["unsupported_parameter", "unsupported_value"],
        "the model does not take a parameter: models[].targets[].params may replace it, or callers leave it out",
      ),
      not_supported_error: "the server cannot do what was asked for: images and audio need a model with --mmproj",
    },
  },
  content_filtered: {
    codes: {
      ...each(
        ["content_filter", "responsibleaipolicyviolation"],
        "refused by the content filter: how severe it is, is set with the provider, per deployment",
      ),
    },
  },
  addition_refused: { otherwise: "refused or ignored what the gateway asks for by itself" },
  overloaded: {
    says: [
      [
        /\brequest queue is full\b/i,
        "the server's queue is full: set max_concurrent so that requests queue here, or add replicas",
      ],
    ],
    codes: {
      unavailable_error: "the server is loading its model: it will be there by itself",
      slow_down: "the provider wants traffic to grow more slowly: set max_rps, and raise it in steps",
      ...each(["service_tier_capacity_exceeded", "capacity_exceeded", "resource_unavailable"], noTier),
    },
    otherwise: "the provider says that it is overloaded: add a target to the model, or set max_rps",
  },
  server_error: {
    says: [[/^litellm\.(authentication|permissiondenied)error\b/i, "a key of the proxy's own is bad: mend it there"]],
    codes: { provider_unavailable: "whom the router asks is down: let it ask others, or add a target" },
    statuses: { 504: gaveUp, 524: gaveUp },
    otherwise: "the provider failed by itself: where it lasts, add a target to the model",
  },
  not_sent: { otherwise: "a kept connection was closed just then: nothing to do, it is asked again" },
  connection_lost: {
    otherwise: "the provider closed the connection too early: see its log; a proxy on the way may have a time limit",
  },
  truncated: { otherwise: "the answer ended before it was whole: a proxy on the way may have cut it" },
  malformed: {
    otherwise: "no answer of the API, or half of one: is the base URL right, and no page of a proxy in between?",
  },
  too_large: { otherwise: "the answer is larger than the gateway takes" },
  misconfigured: {
    otherwise: "no such path: check the base URL (is /v1 missing, or there twice?) and the target's model",
  },
  diverged: { otherwise: "it did not go on with the same text, so the caller was not given it" },
  client_stalled: { otherwise: "the caller took nothing of its answer for too long" },
  stream_limit: { otherwise: "longer than a stream may be: server.limits.stream_total, stream_size" },
};

const unreachable = {
  refused: "nothing listens there: is the provider up?",
  dns: "the base URL's host has no address",
  tls: "no TLS: check the certificate, and https",
  connect_timeout: "check the network, or raise timeouts.connect",
  network: "no way there from here: check the network",
} as const;

const timedOut = {
  first_content: "silent until its time for the first content was up: raise timeouts.first_token, or add an endpoint",
  idle: "silent in the middle of its answer: raise timeouts.idle if it may think for so long",
  total: "silent, or not done when its time was up: raise timeouts.total if its answers take so long",
} as const;

/** What an operator might do about a fault, in a line; undefined: nothing. */
export function hintOf(fault: Fault): string | undefined {
  if (fault.kind === "unreachable") return unreachable[fault.cause];
  if (fault.kind === "timed_out") return timedOut[fault.phase];
  if (fault.kind === "refused_request" && fault.configured) {
    return "refused with the parameters configured for this target: check models[].targets[].params and defaults.params";
  }
  const advice = table[fault.kind];
  if (!advice) return undefined;
  const { message = "", providerCode = "", status = 0 } = fault as UpstreamWords; // a fault that is not an upstream's has none
  const said = advice.says?.find(([pattern]) => pattern.test(message))?.[1];
  const { codes = {}, statuses = {}, otherwise } = advice;
  const code = providerCode.toLowerCase();
  return said ?? (Object.hasOwn(codes, code) ? codes[code] : undefined) ?? statuses[status] ?? otherwise;
}

function each(codes: readonly string[], hint: string): Record<string, string> {
  return Object.fromEntries(codes.map((code) => [code, hint]));
}
