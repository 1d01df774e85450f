// Chapter 01: the few encodings used everywhere.

import { createHash } from 'node:crypto';

// ignoreBOM keeps U+FEFF in the text, where the readers of chapters 03 and 05 find it.
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The text of some UTF-8 bytes, or undefined if they are none. */
export function fromUtf8(bytes) {
  try {
    return UTF8.decode(bytes);
  } catch {
    return undefined;
  }
}

export const toBase64url = (bytes) => Buffer.from(bytes).toString('base64url');

/**
 * TERM-2: the bytes of a base64url text, or undefined. Buffer accepts the other alphabet, padding, spare bits
 * and anything it does not know; only the one text that it would write itself comes back unchanged.
 */
export function fromBase64url(text) {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}

/** TERM-3, of bytes or of a text. */
export const digest = (data) => createHash('sha256').update(data).digest('base64url');

/** TERM-6: whether `text` has from `least` to `most` code points. */
export function lengthWithin(text, least, most) {
  const units = text.length;
  if (units < least || units > 2 * most) return false;
  if (units <= most && units >= 2 * least) return true;
  let points = 0;
  for (const _ of text) points += 1;
  return points >= least && points <= most;
}

/** TERM-7: code point by code point; JavaScript's own `<` goes by UTF-16 units. */
export function compareTexts(a, b) {
  if (a === b) return 0;
  const most = Math.min(a.length, b.length);
  for (let at = 0; at < most; at += 1) {
    const [x, y] = [a.charCodeAt(at), b.charCodeAt(at)];
    if (x !== y) return isSurrogate(x) === isSurrogate(y) ? x - y : isSurrogate(x) - isSurrogate(y);
  }
  return a.length - b.length;
}

const isSurrogate = (unit) => Number(unit >= 0xd800 && unit <= 0xdfff);

/** `compute`, remembering the answers to its last `most` different questions. What throws is not remembered. */
export function remembering(most, compute) {
  const answers = new Map();
  return (question) => {
    let answer = answers.get(question);
    if (answer === undefined) {
      answer = compute(question);
      if (answers.size >= most) answers.delete(answers.keys().next().value);
      answers.set(question, answer);
    }
    return answer;
  };
}
