// SIG-9.6: what a body must hold beyond its schema.

import { LIMITS, demand } from './tables.mjs';
import { digest } from './encoding.mjs';
import { proveChain } from './identity.mjs';

const fits = (condition) => demand(condition, 'schema.body');

/** TASK-4, TASK-38 */
function checkText(text, textDigest) {
  fits(Buffer.byteLength(text) <= LIMITS.inline_text_bytes);
  demand(digest(text) === textDigest, 'digest.mismatch');
}

/** ART-1 */
const checkArtifact = ({ bytes, chunks }) => fits(chunks.length === Math.ceil(bytes / LIMITS.chunk_bytes));

const count = (body, ...names) => names.filter((name) => Object.hasOwn(body, name)).length;

/** TASK-1 to TASK-4, in the order that stands below them. */
function checkRequest({ body }) {
  const names = new Set();
  const add = (name) => {
    fits(!names.has(name));
    names.add(name);
  };
  for (const input of body.inputs) add(input.name);
  for (const stage of body.stages) {
    // Its own sources before its own id is known: a stage is no source of itself.
    fits(!names.has(stage.id));
    for (const part of stage.prompt) fits(part.part === 'text' || names.has(part.source));
    add(stage.id);
  }
  for (const input of body.inputs) {
    fits(Object.hasOwn(input, 'text') === (body.privacy === 'public'));
    if (body.privacy === 'public') checkText(input.text, input.digest);
  }
}

/** TASK-37 */
function checkAward({ body }) {
  for (const input of body.inputs ?? []) {
    fits(count(input, 'sealed', 'artifact') === 1);
    if (input.artifact) checkArtifact(input.artifact);
  }
}

/** TASK-37, TASK-38 */
function checkResult({ body }) {
  fits(count(body, 'text', 'sealed', 'artifact') === 1);
  if (Object.hasOwn(body, 'text')) checkText(body.text, body.output_digest);
  if (body.artifact) checkArtifact(body.artifact);
}

const checkChain = ({ sender, kid, body }) => proveChain(sender, kid, body.chain);

export const OWN_RULES = new Map(Object.entries({
  'identity.rotate': checkChain,
  'identity.revoke': checkChain,
  'task.request': checkRequest,
  'task.award': checkAward,
  'task.result': checkResult,
}));
