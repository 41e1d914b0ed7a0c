/** Values that OpenTelemetry's GenAI conventions have for providers whom people call otherwise. */
const wellKnown: Readonly<Record<string, string>> = {
  azure: "azure.ai.openai",
  "azure-openai": "azure.ai.openai",
  bedrock: "aws.bedrock",
  gemini: "gcp.gemini",
  google: "gcp.gemini",
  mistral: "mistral_ai",
  mistralai: "mistral_ai",
  moonshot: "moonshot_ai",
  vertex: "gcp.vertex_ai",
  vertexai: "gcp.vertex_ai",
  watsonx: "ibm.watsonx.ai",
  xai: "x_ai",
};

/** `gen_ai.provider.name` of a provider by its kind: the conventions' own value where there is one, else the kind as it is configured. */
export function genAiProviderName(kind: string): string {
  return wellKnown[kind.toLowerCase()] ?? kind;
}
