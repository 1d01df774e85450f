// The four tables that are data (README). Where text and data differ, the data is right.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import path from 'node:path';

const SPEC = process.env.CLAWNET_SPEC || path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

const load = (name) => JSON.parse(readFileSync(path.join(SPEC, name), 'utf8'));

export const LIMITS = load('limits.json');
export const STATES = load('states.json');
// A Map, for `type` is a stranger's word and may be "constructor".
export const TYPES = new Map(Object.entries(load('types.json')));
const CODES = new Set(Object.keys(load('errors.json')));

/** A rule that was broken, by its code of chapter 09. */
export class Fault extends Error {
  constructor(code) {
    if (!CODES.has(code)) throw new TypeError(`no such code: ${code}`);
    super(code);
    this.code = code;
  }
}

/** Throws the fault `code` unless `condition` holds. */
export function demand(condition, code) {
  if (!condition) throw new Fault(code);
}
