import { type Draft, DraftWriter } from "./draft.ts";
import type { Variables } from "./environment.ts";

/** What OpenTelemetry's own variables say, and the one of ours beside them, in the words of the file: whoever sets them for every program has set them for this one. */
export function otelDraft({ env, originOf }: Variables): Draft {
  const writer = new DraftWriter();
  const endpoint = env["OTEL_EXPORTER_OTLP_ENDPOINT"];
  const isOff = env["OTEL_SDK_DISABLED"]?.toLowerCase() === "true";
  const name = env["OTEL_SERVICE_NAME"];
  const resource = env["OTEL_RESOURCE_ATTRIBUTES"];
  const set = (variable: string, path: string, value: unknown) =>
    writer.set(["telemetry", ...path.split(" ")], value, originOf(variable));
  if (name) set("OTEL_SERVICE_NAME", "service_name", name);
  if (resource) {
    for (const [key, value] of pairs(resource)) set("OTEL_RESOURCE_ATTRIBUTES", `resource ${key}`, value);
  }
  const jaegerUi = env["EVERHOP_JAEGER_UI"];
  if (jaegerUi) set("EVERHOP_JAEGER_UI", "jaeger_ui", jaegerUi);
  const sampler = env["OTEL_TRACES_SAMPLER"] ?? "";
  if (/^(parentbased_)?always_(on|off)$/.test(sampler)) {
    set("OTEL_TRACES_SAMPLER", "sample_ratio", sampler.endsWith("on") ? 1 : 0);
  }
  // Of the other samplers the usual two have a part of all traces to say.
  const ratio = env["OTEL_TRACES_SAMPLER_ARG"];
  if (ratio && /^(parentbased_)?traceidratio$/.test(sampler)) {
    set("OTEL_TRACES_SAMPLER_ARG", "sample_ratio", ratio);
  }
  if (!endpoint || isOff) return writer.draft();
  set("OTEL_EXPORTER_OTLP_ENDPOINT", "otlp endpoint", endpoint);
  const protocol = env["OTEL_EXPORTER_OTLP_PROTOCOL"];
  if (protocol) set("OTEL_EXPORTER_OTLP_PROTOCOL", "otlp protocol", protocol);
  for (const [key, value] of pairs(env["OTEL_EXPORTER_OTLP_HEADERS"] ?? "")) {
    set("OTEL_EXPORTER_OTLP_HEADERS", `otlp headers ${key}`, value);
  }
  const timeout = env["OTEL_EXPORTER_OTLP_TIMEOUT"];
  if (timeout) {
    set("OTEL_EXPORTER_OTLP_TIMEOUT", "otlp timeout", /^\d+$/.test(timeout) ? `${timeout}ms` : timeout);
  }
  if (env["OTEL_TRACES_EXPORTER"] === "none") set("OTEL_TRACES_EXPORTER", "otlp traces", false);
  if (env["OTEL_METRICS_EXPORTER"] === "none") set("OTEL_METRICS_EXPORTER", "otlp metrics", false);
  return writer.draft();
}

/** `name=value,name=value`, values percent-encoded; what is no pair is left out, as OpenTelemetry does. */
function pairs(text: string): [string, string][] {
  return text.split(",").flatMap((pair): [string, string][] => {
    const at = pair.indexOf("=");
    const name = pair.slice(0, at).trim();
    if (at <= 0 || name === "" || name.includes(" ")) return [];
    const value = pair.slice(at + 1).trim();
    try {
      return [[name, decodeURIComponent(value)]];
    } catch {
      return [[name, value]];
    }
  });
}
