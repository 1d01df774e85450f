// The tables of chapters 02, 04, 06 to 08, 11 and 16: which members an object has.

import { LIMITS } from './tables.mjs';
import {
  Attempt, Bool, Count, Did, Digest, Key32, Line, Millis, Name, Nonce, Sealed, Signature, StageId, StageKind, StageRef,
  Text, Token, Uri, Version, choice, integer, isObject, list, object, text,
} from './fields.mjs';

const Extensions = (value) =>
  isObject(value) && list(1, LIMITS.extensions, Token)(Object.keys(value));

/** Chapter 02. What `body` is depends on the type, which is looked at later (SIG-9). */
export const Envelope = object({
  clawnet: Version,
  type: text(1, 64),
  sender: Did,
  kid: Did,
  room: Uri,
  sent_ms: Millis,
  expires_ms: Millis,
  nonce: Nonce,
  body: () => true,
  'recipients?': list(1, LIMITS.recipients, Did),
  'thread?': Digest,
  'answers?': Digest,
  'critical?': list(1, LIMITS.extensions, Token),
  'extensions?': Extensions,
});

// Chapter 04

const Link = object({ key: Did, commitment: Signature, since_ms: Millis });

// Chapter 16

const Chunk = object({ digest: Digest, uri: Uri });
const Artifact = object({
  digest: Digest,
  bytes: integer(1, LIMITS.artifact_bytes),
  chunks: list(1, 64, Chunk),
});

// Chapter 06

const Address = object({ uri: Uri, 'device?': text(0, 255) });
const WeightsDigest = text(0, 71);
const ModelCard = object({
  name: Name,
  'digest?': WeightsDigest,
  'context_tokens?': Count,
  'quantization?': Name,
  kinds: list(1, 4, StageKind),
});
const Announce = object({
  revision: Count,
  name: Name,
  kind: choice('human', 'ai', 'hybrid', 'system'),
  role: Token,
  'description?': Line,
  software: Name,
  versions: list(1, 8, Version),
  addresses: list(1, 4, Address),
  next_key_digest: Digest,
  seal_key: Key32,
  capabilities: list(0, 8, StageKind),
  models: list(0, 16, ModelCard),
  wants: list(0, 16, Token),
  offers: list(0, 16, Token),
  'compute?': object({ cpu_cores: Count, memory_mib: Count, 'gpus?': list(0, 8, Name) }),
  'region?': Token,
  load: object({ running: Count, waiting: Count, slots: Count }),
  limits: object({
    open_to: choice('nobody', 'listed', 'room'),
    prompt_bytes: Count,
    output_tokens: Count,
    tokens_per_minute: Count,
  }),
  confirmed: list(0, 8, object({ peer: Did, at_ms: Millis, rtt_ms: Count })),
});

// Chapter 08

const TextPart = object({ part: choice('text'), text: Text });
const DataPart = object({ part: choice('data'), source: StageRef, form: choice('line', 'block') });
const Parameters = object({
  max_tokens: integer(1, 8192),
  temperature_milli: integer(0, 5000),
  top_p_milli: integer(1, 1000),
  seed: integer(0, 4294967295),
  stop: list(0, 8, text(1, 64)),
});
const Stage = object({
  id: StageId,
  kind: StageKind,
  prompt: list(1, 32, (part) => TextPart(part) || DataPart(part)),
  parameters: Parameters,
  'needs?': object({
    'model?': Name,
    'model_digest?': WeightsDigest,
    'context_tokens?': Count,
    'memory_mib?': Count,
  }),
});
const Request = object({
  title: Line,
  inputs: list(1, 8, object({ name: StageId, digest: Digest, 'text?': Text })),
  stages: list(1, 16, Stage),
  privacy: choice('public', 'sealed'),
  lease_ms: integer(1000, 3600000),
  hops: integer(0, 8),
  'parent?': Digest,
  'preferences?': object({
    'models?': list(0, 8, Name),
    'roles?': list(0, 8, Token),
    'regions?': list(0, 8, Token),
    'trusted?': list(0, 16, Did),
  }),
  'on_behalf_of?': object({ address: Uri, event: text(1, 255), text_digest: Digest }),
});
const StageOffer = object({
  stage: StageRef,
  'model?': Name,
  'model_digest?': WeightsDigest,
  wait_ms: Count,
});
const SealedInput = object({ source: StageRef, digest: Digest, 'sealed?': Sealed, 'artifact?': Artifact });
const place = { stage: StageRef, attempt: Attempt };
const Result = object({
  ...place,
  award: Digest,
  inputs: list(0, 16, object({ source: StageRef, digest: Digest })),
  'model?': Name,
  'model_digest?': WeightsDigest,
  parameters: Parameters,
  output_digest: Digest,
  'text?': Text,
  'sealed?': Sealed,
  'artifact?': Artifact,
  media_type: text(3, 64),
  finish: choice('stop', 'length'),
  usage: object({ prompt_tokens: Count, output_tokens: Count, queued_ms: Count, prompt_ms: Count, generate_ms: Count }),
});
const Accepted = object({ ...place, executor: Did, result: Digest, output_digest: Digest });

/** The body of each type. */
export const BODIES = new Map(Object.entries({
  'identity.rotate': object({ chain: list(1, LIMITS.rotations, Link), next_key_digest: Digest }),
  'identity.revoke': object({ chain: list(0, LIMITS.rotations, Link), since_ms: Millis, 'reason?': Line }),
  'presence.announce': Announce,
  'presence.leave': object({ revision: Count, 'reason?': Line }),
  'handshake.hello': object({ versions: list(1, 8, Version), address: Address }),
  'handshake.accept': object({ version: Version, versions: list(1, 8, Version), address: Address }),
  'handshake.confirm': object({ version: Version }),
  'task.request': Request,
  'task.offer': object({ stages: list(1, 16, StageOffer) }),
  'task.award': object({ ...place, lease_ms: integer(1000, 3600000), 'inputs?': list(1, 16, SealedInput) }),
  'task.start': object({ ...place, 'model?': Name }),
  'task.progress': object({
    ...place, index: Count, tokens: Count, offset: Count, 'text?': Text, 'sealed?': Sealed,
  }),
  'task.ask': object({ ...place, question: Text }),
  'task.reply': object({ ...place, text: Text }),
  'task.result': Result,
  'task.fail': object({ ...place, code: Token, message: Line, retryable: Bool }),
  'task.cancel': object({ 'reason?': Line }),
  'task.close': object({
    outcome: choice('completed', 'failed'),
    accepted: list(0, 16, Accepted),
    executions: Count,
    'code?': Token,
    'message?': Line,
  }),
}));

// Chapter 11

export const Header = object({
  clawnet_transcript: choice('1'), created_ms: Millis, recorder: Line, link: Digest,
});
export const Entry = object({
  transport: text(0, 64),
  plane: choice('room', 'direct'),
  room: Line,
  sender: Line,
  event_id: Line,
  event: (value) => typeof value === 'string',
  received_ms: Millis,
  link: Digest,
});
