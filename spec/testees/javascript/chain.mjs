// Chapter 04, second half: what the keys of an identity may say, from the set of its messages.

import { digest } from './encoding.mjs';
import { decodeDid } from './identity.mjs';

const isFamily = (type, family) => type.startsWith(`${family}.`);

/** The chain of `identity` (ID-24), from all its messages. */
export class Chain {
  /**
   * What is known of each key: the digests it committed to, the keys after it, since when it says that the keys
   * before it are given up, and since when the identity.
   */
  #words = new Map();
  keys;
  disputed = false;
  /** When the revoke that counts says that it ends (ID-23). */
  revoked;

  constructor(identity, messages) {
    for (const { envelope } of messages) this.#note(identity, envelope);
    this.keys = [identity];
    for (;;) {
      const { commitments, links } = this.#wordsOf(this.keys.at(-1));
      this.disputed = commitments.size > 1;
      if (this.disputed || links.size === 0) break;
      this.keys.push(links.values().next().value);
    }
    this.revoked = this.#wordsOf(this.last).revoked;
  }

  get last() {
    return this.keys.at(-1);
  }

  #wordsOf(key) {
    if (!this.#words.has(key)) {
      this.#words.set(key, { commitments: new Set(), links: new Set(), ends: new Map(), revoked: undefined });
    }
    return this.#words.get(key);
  }

  #note(identity, { type, kid, body }) {
    if (type === 'identity.rotate' || type === 'identity.revoke') {
      let key = identity;
      for (const link of body.chain) {
        const words = this.#wordsOf(key);
        words.commitments.add(digest(decodeDid(link.key).bytes));
        words.links.add(link.key);
        const { ends } = this.#wordsOf(kid);
        ends.set(key, Math.min(link.since_ms, ends.get(key) ?? Infinity));
        key = link.key;
      }
    }
    if (type === 'identity.revoke') {
      const words = this.#wordsOf(kid);
      words.revoked = Math.min(body.since_ms, words.revoked ?? Infinity);
    }
    if (type === 'identity.rotate' || type === 'presence.announce') {
      this.#wordsOf(kid).commitments.add(body.next_key_digest);
    }
  }

  /** ID-25: the code of the stage *authority*, or undefined. */
  judge({ type, kid, sent_ms: sent }) {
    if (isFamily(type, 'identity')) return undefined;
    if (!this.keys.includes(kid)) return this.disputed ? 'key.disputed' : 'key.unproven';
    const givenUp = this.#wordsOf(this.last).ends.get(kid) ?? Infinity;
    if (sent >= Math.min(givenUp, this.revoked ?? Infinity)) return 'key.not_authorized';
    return kid !== this.last || this.disputed || this.revoked !== undefined ? 'key.retired' : undefined;
  }

  get standing() {
    if (this.disputed) return 'disputed';
    return this.revoked === undefined ? 'good' : 'revoked';
  }
}
