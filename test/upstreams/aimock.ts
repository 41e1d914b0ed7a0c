import { LLMock, type MockServerOptions } from "@copilotkit/aimock";
import { onTestFinished } from "vitest";

/** Another maker's server of scripted answers, on a port of its own. */
export interface Aimock {
  readonly mock: LLMock;
  readonly address: string;
  readonly baseUrl: string;
}

/** Starts one, without a script yet; it stops with the test. */
export async function startAimock(options: Omit<MockServerOptions, "port"> = {}): Promise<Aimock> {
  const mock = new LLMock({ ...options, port: 0 });
  const address = await mock.start();
  onTestFinished(() => mock.stop());
  return { mock, address, baseUrl: `${address}/v1` };
}
