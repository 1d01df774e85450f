// What a testee can be asked, by name; each takes the request's members and gives those of `ok`.

import { joinArtifact, splitArtifact } from './artifact.mjs';
import { demand } from './tables.mjs';
import { fromUtf8, toBase64url } from './encoding.mjs';
import { readCanonical, writeCanonical } from './canonical.mjs';
import { commit, decodeDid, encodeDid, publicKey } from './identity.mjs';
import { Handshakes } from './handshake.mjs';
import { carriersOf, matrixUri } from './matrix.mjs';
import { Mesh } from './mesh.mjs';
import { arrive, signEnvelope, verifyCarrier } from './message.mjs';
import { renderPrompt } from './prompt.mjs';
import { rank } from './ranking.mjs';
import { open, openText, seal, sealCarrier } from './sealing.mjs';
import { verifySignature } from './signature.mjs';
import { damagedLines } from './transcript.mjs';

const bytes = (text) => Buffer.from(text, 'base64url');

const summary = ({ id, envelope }) =>
  ({ id, sender: envelope.sender, kid: envelope.kid, type: envelope.type });

// The state of `handshake.*` and of `mesh.*`.
let handshakes;
let mesh;

export const OPERATIONS = new Map(Object.entries({
  'canonical.read': ({ text }) => {
    const read = fromUtf8(bytes(text));
    demand(read !== undefined, 'canonical.syntax');
    readCanonical(read);
  },
  'canonical.write': ({ json }) => ({ text: toBase64url(writeCanonical(JSON.parse(bytes(json).toString()))) }),

  'did.encode': (request) => ({ did: encodeDid(bytes(request.public)) }),
  'did.decode': ({ did }) => ({ public: toBase64url(decodeDid(did).bytes) }),
  'signature.verify': (request) =>
    verifySignature(publicKey(bytes(request.public)), bytes(request.signature), bytes(request.message)),
  sign: ({ seed, env }) => {
    const { carrier, id } = signEnvelope(bytes(seed), bytes(env));
    return { carrier: toBase64url(carrier), id };
  },
  commitment: ({ seed, generation, identity, next }) =>
    ({ commitment: commit(bytes(seed), generation, identity, bytes(next)) }),

  verify: ({ carrier }) => summary(verifyCarrier(bytes(carrier))),
  arrive: ({ carrier, me, now_ms: now, secrets = [], ...place }) =>
    summary(arrive(bytes(carrier), place, me, now, secrets.map(bytes))),

  seal: ({ info, plaintext, ...request }) => ({ sealed: seal(bytes(request.public), info, bytes(plaintext)) }),
  open: ({ secret, info, sealed }) => ({ plaintext: toBase64url(open(bytes(secret), info, sealed)) }),
  'seal.carrier': ({ recipient, carrier, ...request }) =>
    ({ carrier: toBase64url(sealCarrier(bytes(request.public), recipient, bytes(carrier))) }),
  'open.text': ({ secret, info, sealed, digest }) => ({ text: openText(bytes(secret), info, sealed, digest) }),

  'artifact.split': ({ data, uris }) => ({ artifact: splitArtifact(bytes(data), uris) }),
  'artifact.join': ({ artifact, chunks }) => ({ data: toBase64url(joinArtifact(artifact, chunks.map(bytes))) }),

  prompt: ({ parts, sources }) => ({ prompt: renderPrompt(parts, new Map(Object.entries(sources))) }),
  rank: ({ key, candidates }) => ({ order: rank(key, candidates) }),

  'handshake.reset': ({ versions }) => {
    handshakes = new Handshakes(versions);
  },
  'handshake.send': ({ carrier }) => handshakes.send(verifyCarrier(bytes(carrier))),
  'handshake.receive': ({ carrier, address }) => handshakes.receive(verifyCarrier(bytes(carrier)), address),
  'handshake.time_out': ({ thread }) => handshakes.timeOut(thread),

  'mesh.reset': ({ room }) => {
    mesh = new Mesh(room);
  },
  'mesh.add': ({ carrier, plane, address }) => mesh.add(verifyCarrier(bytes(carrier)), plane, address),
  'mesh.state': ({ now_ms: now }) => ({ state: mesh.state(now) }),

  transcript: ({ text }) => ({ damaged: damagedLines(bytes(text)) }),
  'matrix.uri': ({ id }) => ({ uri: matrixUri(id) }),
  'matrix.carriers': ({ event, plane }) => ({ carriers: carriersOf(bytes(event), plane).map(toBase64url) }),
}));
