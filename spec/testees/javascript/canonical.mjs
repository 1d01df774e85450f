// Chapter 03: one object, one byte string.

import { LIMITS, Fault, demand } from './tables.mjs';

const KEY = new RegExp(`^[a-z0-9_.-]{1,${LIMITS.key_characters}}$`);
const INTEGER = /^(?:0|-?[1-9][0-9]{0,15})$/;
const ESCAPES = { '"': '"', '\\': '\\', b: '\b', t: '\t', n: '\n', f: '\f', r: '\r' };
// CAN-7: the control characters without a short escape.
const CONTROL_ESCAPE = /^u00(?:0[0-7bef]|1[0-9a-f])$/;
const JSON_ESCAPE = /^(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})/;

/** The value of a canonical text, objects without prototype. Throws the first fault in reading order (CAN-13). */
export function readCanonical(text) {
  const reader = new Reader(text);
  const value = reader.value(1);
  demand(reader.at === text.length, 'canonical.whitespace');
  return value;
}

class Reader {
  constructor(text) {
    this.text = text;
    this.at = 0;
    this.nodes = 0;
  }

  /** Expects a token: the character at hand, undefined at the end. */
  token() {
    const char = this.text[this.at];
    if (char === ' ' || char === '\t' || char === '\n' || char === '\r' || char === '\ufeff') {
      throw new Fault('canonical.whitespace');
    }
    return char;
  }

  value(depth) {
    this.nodes += 1;
    demand(this.nodes <= LIMITS.nodes, 'canonical.nodes');
    const char = this.token();
    if (char === '"') return this.string();
    if (char === '{' || char === '[') {
      demand(depth <= LIMITS.depth, 'canonical.depth');
      return char === '{' ? this.object(depth) : this.array(depth);
    }
    if (char === '-' || isDigit(char)) return this.number();
    if (this.word('true')) return true;
    if (this.word('false')) return false;
    throw new Fault(this.word('null') ? 'canonical.null' : 'canonical.syntax');
  }

  word(word) {
    if (!this.text.startsWith(word, this.at)) return false;
    this.at += word.length;
    return true;
  }

  // Not by a regular expression: runs of digits may be millions long (LIM-4).
  number() {
    const { text } = this;
    const start = this.at;
    const first = text[start] === '-' ? start + 1 : start;
    let end = endOfDigits(text, first);
    demand(end > first, 'canonical.syntax');
    if (text[end] === '.' && isDigit(text[end + 1])) end = endOfDigits(text, end + 1);
    if (text[end] === 'e' || text[end] === 'E') {
      const power = text[end + 1] === '+' || text[end + 1] === '-' ? end + 2 : end + 1;
      if (isDigit(text[power])) end = endOfDigits(text, power);
    }
    const run = end - start <= 17 ? text.slice(start, end) : '';
    const number = Number(run);
    demand(INTEGER.test(run) && Math.abs(number) <= LIMITS.integer, 'canonical.number');
    this.at = end;
    return number;
  }

  string() {
    const { text } = this;
    let out = '';
    let from = this.at + 1;
    for (let at = from; ; ) {
      demand(at < text.length, 'canonical.syntax');
      const unit = text.charCodeAt(at);
      if (unit === 0x22) {
        this.at = at + 1;
        return out + text.slice(from, at);
      }
      if (unit === 0x5c) {
        const [char, length] = readEscape(text, at + 1);
        out += text.slice(from, at) + char;
        at += 1 + length;
        from = at;
      } else if (unit < 0x20 || (unit >= 0xd800 && unit <= 0xdfff && !isPair(text, at))) {
        throw new Fault('canonical.string');
      } else {
        at += unit >= 0xd800 && unit <= 0xdbff ? 2 : 1;
      }
    }
  }

  array(depth) {
    const items = [];
    this.at += 1;
    if (this.token() === ']') {
      this.at += 1;
      return items;
    }
    for (;;) {
      items.push(this.value(depth + 1));
      if (this.ends(']')) return items;
    }
  }

  object(depth) {
    const members = Object.create(null); // no prototype: `__proto__` is a key like any other
    this.at += 1;
    if (this.token() === '}') {
      this.at += 1;
      return members;
    }
    for (let last = ''; ; ) {
      demand(this.token() === '"', 'canonical.syntax');
      const key = this.string();
      demand(KEY.test(key), 'canonical.key');
      demand(!(key in members), 'canonical.duplicate_key');
      demand(key > last, 'canonical.order');
      last = key;
      demand(this.token() === ':', 'canonical.syntax');
      this.at += 1;
      members[key] = this.value(depth + 1);
      if (this.ends('}')) return members;
    }
  }

  /** After a value within an array or object: takes what ends it, or the comma before the next. */
  ends(closing) {
    const char = this.token();
    demand(char === closing || char === ',', 'canonical.syntax');
    this.at += 1;
    return char === closing;
  }
}

const isDigit = (char) => char >= '0' && char <= '9';

function endOfDigits(text, at) {
  while (isDigit(text[at])) at += 1;
  return at;
}

function isPair(text, at) {
  const [high, low] = [text.charCodeAt(at), text.charCodeAt(at + 1)];
  return high <= 0xdbff && low >= 0xdc00 && low <= 0xdfff;
}

/** What the escape after a backslash stands for, and its length. */
function readEscape(text, at) {
  const char = text[at];
  if (Object.hasOwn(ESCAPES, char)) return [ESCAPES[char], 1];
  const five = text.slice(at, at + 5);
  if (CONTROL_ESCAPE.test(five)) return [String.fromCharCode(Number.parseInt(five.slice(1), 16)), 5];
  throw new Fault(JSON_ESCAPE.test(five) ? 'canonical.string' : 'canonical.syntax');
}

/** The canonical text of a value; a fault if canonical text can not say it. */
export function writeCanonical(value) {
  switch (typeof value) {
    case 'string':
      demand(value.isWellFormed(), 'canonical.string');
      return JSON.stringify(value); // escapes what CAN-7 names, in the same way
    case 'number':
      demand(Number.isInteger(value) && Math.abs(value) <= LIMITS.integer, 'canonical.number');
      return String(value);
    case 'boolean':
      return String(value);
    default:
  }
  demand(value !== null, 'canonical.null');
  if (Array.isArray(value)) return `[${value.map(writeCanonical).join(',')}]`;
  const members = Object.keys(value).sort().map((key) => {
    demand(KEY.test(key), 'canonical.key');
    return `"${key}":${writeCanonical(value[key])}`;
  });
  return `{${members.join(',')}}`;
}
