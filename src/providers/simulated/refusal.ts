/** A request that cannot be answered, as a healthy server says it. */
export class Refusal extends Error {
  override name = "Refusal";
  readonly status: number;
  /** The field at fault. */
  readonly param: string | undefined;
  /** Undefined for the usual code of the status. */
  readonly code: string | undefined;

  constructor(status: number, message: string, where: { param?: string; code?: string } = {}) {
    super(message);
    this.status = status;
    this.param = where.param;
    this.code = where.code;
  }
}
