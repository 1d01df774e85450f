// Chapter 02, field types: each is a predicate of a value that was read from canonical text.

import { fromBase64url, lengthWithin } from './encoding.mjs';

export const text = (least, most) => (value) => typeof value === 'string' && lengthWithin(value, least, most);

// MSG-16: without the flag m, `$` is the end of the text and nothing else.
export const pattern = (expression) => (value) => typeof value === 'string' && expression.test(value);

export const integer = (least, most) => (value) => Number.isInteger(value) && value >= least && value <= most;

export const choice = (...words) => (value) => words.includes(value);

export const list = (least, most, item) => (value) =>
  Array.isArray(value) && value.length >= least && value.length <= most && value.every(item);

export const isObject = (value) => typeof value === 'object' && !Array.isArray(value);

/** A closed object (MSG-11); a member whose name ends in `?` may be absent. */
export function object(members) {
  const rows = Object.entries(members).map(([name, type]) =>
    name.endsWith('?') ? [name.slice(0, -1), type, true] : [name, type, false]);
  return (value) => {
    if (!isObject(value)) return false;
    let known = 0;
    for (const [name, type, optional] of rows) {
      if (Object.hasOwn(value, name)) {
        if (!type(value[name])) return false;
        known += 1;
      } else if (!optional) {
        return false;
      }
    }
    return known === Object.keys(value).length;
  };
}

export const Bool = (value) => typeof value === 'boolean';
export const Count = integer(0, Number.MAX_SAFE_INTEGER);
export const Millis = Count;
export const Attempt = integer(1, 1000);
export const Version = pattern(/^[1-9][0-9]{0,3}$/);
export const Name = text(1, 64);
export const Token = pattern(/^[a-z0-9][a-z0-9_.-]{0,63}$/);
export const Line = text(0, 300);
export const Text = text(0, 16000);
export const Uri = text(3, 300);
// TERM-8: what only refers to something is compared and never decoded, so only its length is fixed.
export const Did = text(56, 56);
export const Digest = text(43, 43);
export const Nonce = text(22, 22);
export const Signature = text(86, 86);
export const Key32 = (value) => typeof value === 'string' && value.length === 43 && fromBase64url(value) !== undefined;
export const Sealed = pattern(/^[A-Za-z0-9_-]{1,32000}$/);
export const StageId = pattern(/^[a-z0-9][a-z0-9_-]{0,31}$/);
export const StageRef = text(1, 32);
export const StageKind = choice('generate', 'chat', 'embed', 'echo');
