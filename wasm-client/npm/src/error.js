/** A refusal or failure with a stable `code`, whether trying again can help, and where in the event it lies. */
export class TidegateError extends Error {
  constructor(code, message, retryable = false, pointer) {
    super(message || code);
    this.name = "TidegateError";
    this.code = code;
    this.retryable = retryable;
    this.pointer = pointer;
  }
}
