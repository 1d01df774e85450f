// Chapter 08, Offering: who comes in which place.

import { createHash } from 'node:crypto';

import { compareTexts } from './encoding.mjs';

/** TASK-17 */
function weight({ slots, running, waiting }) {
  const s = slots || 1;
  return s / (s + running + waiting);
}

/** TASK-18 */
function score(key, did, candidateWeight) {
  const n = createHash('sha256').update(`${key}\0${did}`).digest().readBigUInt64BE();
  const h = (Number(n) + 0.5) / 2 ** 64;
  return h === 1 ? Infinity : -candidateWeight / Math.log(h);
}

/** TASK-16: the dids of the candidates, the best first. */
export const rank = (key, candidates) =>
  candidates
    .map((candidate) => ({ did: candidate.did, score: score(key, candidate.did, weight(candidate)) }))
    .sort((a, b) => b.score - a.score || compareTexts(a.did, b.did))
    .map(({ did }) => did);
