// The testee (spec/testee.md): one request a line on standard input, one answer a line on standard output.

import { Fault } from './tables.mjs';
import { OPERATIONS } from './operations.mjs';

function answer(line) {
  const { op, ...request } = JSON.parse(line);
  const operation = OPERATIONS.get(op);
  if (!operation) return { unsupported: op };
  try {
    return { ok: operation(request) ?? {} };
  } catch (error) {
    if (error instanceof Fault) return { error: error.code };
    console.error(error);
    return { error: 'internal' }; // no code of chapter 09: a fault of this program
  }
}

// Not node:readline, for it also ends lines at U+2028.
let pieces = [];
for await (const chunk of process.stdin) {
  let rest = chunk;
  for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
    const line = Buffer.concat([...pieces, rest.subarray(0, end)]).toString();
    pieces = [];
    rest = rest.subarray(end + 1);
    process.stdout.write(`${JSON.stringify(answer(line))}\n`);
  }
  if (rest.length > 0) pieces.push(rest);
}
