/** A refusal or failure with a stable `code`, whether and when trying again can help, and where in the event it lies. */
export class TidegateError extends Error {
  static name = "TidegateError";
  constructor(code, message, retryable = false, pointer, retryAfter) {
    super(message || code);
    this.name = "TidegateError";
    this.code = code;
    this.retryable = retryable;
    this.pointer = pointer;
    this.retryAfter = retryAfter;
  }
}
