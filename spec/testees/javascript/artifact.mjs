// Chapter 16: outputs too long for a message.

import { LIMITS, demand } from './tables.mjs';
import { digest } from './encoding.mjs';

/** ART-1: the Artifact of some bytes, whose chunks are stored at `uris`. */
export function splitArtifact(data, uris) {
  const chunks = uris.map((uri, index) => {
    const start = index * LIMITS.chunk_bytes;
    return { digest: digest(data.subarray(start, start + LIMITS.chunk_bytes)), uri };
  });
  return { digest: digest(data), bytes: data.length, chunks };
}

/** ART-2, ART-3: the bytes of an artifact. */
export function joinArtifact(artifact, chunks) {
  demand(chunks.length === artifact.chunks.length, 'artifact.mismatch');
  let rest = artifact.bytes;
  for (const [index, chunk] of chunks.entries()) {
    demand(chunk.length === Math.min(rest, LIMITS.chunk_bytes), 'artifact.mismatch');
    demand(digest(chunk) === artifact.chunks[index].digest, 'artifact.mismatch');
    rest -= chunk.length;
  }
  const data = Buffer.concat(chunks);
  demand(digest(data) === artifact.digest, 'artifact.mismatch');
  return data;
}
