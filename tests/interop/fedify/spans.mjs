// What Fedify thinks of a request, by its own word: it tells OpenTelemetry, and this listens.

import { AsyncLocalStorage } from "node:async_hooks";

const requests = new AsyncLocalStorage();

/** Run `work`, and put what Fedify thinks meanwhile into `verdict`: `{verified, by_http, algorithm, key_id, reason}`. */
export function judging(verdict, work) {
  return requests.run(verdict, work);
}

// The attribute of which span becomes which part of the verdict.
const PARTS = {
  "activitypub.inbox": {
    "activitypub.activity.verified": "verified",
    "http_signatures.verified": "by_http",
  },
  "http_signatures.verify": {
    "http_signatures.algorithm": "algorithm",
    "http_signatures.key_id": "key_id",
    "http_signatures.failure_reason": "reason",
  },
  "object_integrity_proofs.verify": {
    "object_integrity_proofs.cryptosuite": "cryptosuite",
    "object_integrity_proofs.key_id": "proof_key_id",
  },
};

class Span {
  constructor(name) {
    this.parts = PARTS[name] ?? {};
  }
  setAttribute(name, value) {
    const part = this.parts[name];
    const verdict = requests.getStore();
    if (part && verdict) verdict[part] = value;
    return this;
  }
  setAttributes(attributes) {
    for (const [name, value] of Object.entries(attributes ?? {})) this.setAttribute(name, value);
    return this;
  }
  addEvent(_name, attributes) {
    return this.setAttributes(attributes);
  }
  isRecording() {
    return true;
  }
  spanContext() {
    return { traceId: "0".repeat(32), spanId: "0".repeat(16), traceFlags: 0 };
  }
  setStatus() {}
  updateName() {}
  recordException() {}
  end() {}
}

const tracer = {
  startSpan: (name) => new Span(name),
  startActiveSpan: (name, ...rest) => rest.at(-1)(new Span(name)),
};

export const tracerProvider = { getTracer: () => tracer };
