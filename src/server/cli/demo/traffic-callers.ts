/** A caller of the demo, and how it calls. */
export interface TrafficCaller {
  readonly name: string;
  /** Opens nothing: the demo serves everybody. It only tells who calls. */
  readonly key: string;
  readonly wire: "rest" | "rest_stream" | "connect" | "grpc_stream";
}

/** Who calls in the demo. */
export const trafficCallers: readonly TrafficCaller[] = [
  { name: "shop", key: "sk-test-canary-shop", wire: "rest_stream" },
  { name: "helpdesk", key: "sk-test-canary-helpdesk", wire: "grpc_stream" },
  { name: "reports", key: "sk-test-canary-reports", wire: "rest" },
  { name: "search", key: "sk-test-canary-search", wire: "connect" },
];

/** What they ask. Long enough for a stream to be seen under way. */
export const trafficPrompts: readonly string[] = [
  "Which of the two parcels that I ordered on Monday will be here first, and where is the other one now?",
  "Put this complaint into three short sentences that a tired colleague can read at the end of a long day.",
  "What should I cook for six people when one of them eats no meat and another one no onions?",
  "Tell a child of seven why the sky is blue at noon and red in the evening, without the word wavelength.",
  "Name a few reasons why a train may be late although it left in time, the likeliest one first.",
  "Sum up the last quarter in the words of a person who has had to explain it to the bank.",
];
