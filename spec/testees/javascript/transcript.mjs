// Chapter 11: a record that anyone can check later.

import { Fault } from './tables.mjs';
import { digest, fromUtf8 } from './encoding.mjs';
import { Entry, Header } from './bodies.mjs';
import { readCanonical, writeCanonical } from './canonical.mjs';

const LINE_BYTES = 8388608;
const LF = 10;

/** TR-5: the numbers of the damaged lines of a transcript. */
export function damagedLines(bytes) {
  const damaged = [];
  let number = 0;
  let last; // the link the line before carries; undefined after one that could not be read
  for (let start = 0; start < bytes.length || number === 0; ) {
    const end = bytes.indexOf(LF, start);
    const next = end < 0 ? bytes.length : end + 1;
    number += 1;
    const whole = end >= 0 && next - start <= LINE_BYTES;
    const line = whole ? readLine(bytes.subarray(start, end), number === 1 ? Header : Entry) : undefined;
    const before = number === 1 ? '' : last;
    if (!line || (before !== undefined && line.link !== linkAfter(before, line))) damaged.push(number);
    last = line?.link;
    start = next;
  }
  return damaged;
}

function readLine(bytes, fits) {
  const text = fromUtf8(bytes);
  if (text === undefined) return undefined;
  try {
    const value = readCanonical(text);
    return fits(value) ? value : undefined;
  } catch (error) {
    if (error instanceof Fault) return undefined;
    throw error;
  }
}

/** TR-4 */
const linkAfter = (before, line) => digest(`${before}\n${writeCanonical({ ...line, link: '' })}`);
