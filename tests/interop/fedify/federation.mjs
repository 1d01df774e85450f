// The peer itself: a Fedify federation with actors that are made on demand, and what they said in public.

import { EventEmitter, once } from "node:events";

import { createFederation, MemoryKvStore } from "@fedify/fedify";
import { Accept, Activity, Endpoints, Follow, Person, Tombstone } from "@fedify/vocab";

import { newKeyPairs } from "./keys.mjs";
import { tracerProvider } from "./spans.mjs";

/** A peer at `site`: its Fedify `context`, its `actors` by name, what its inboxes `received`, and word of `arrivals`. */
export function federate(site) {
  const actors = new Map();
  const received = [];
  const arrivals = new EventEmitter();
  const take = async (activity) => {
    received.push(await activity.toJsonLd());
    arrivals.emit("one");
  };
  const federation = createFederation({
    kv: new MemoryKvStore(),
    origin: site.origin,
    allowPrivateAddress: true,
    tracerProvider,
  });

  federation
    .setActorDispatcher("/users/{identifier}", (context, name) => describe(context, name, actors.get(name)))
    .setKeyPairsDispatcher((_context, name) => actors.get(name)?.keys ?? [])
    .authorize(async (context, name) => !actors.get(name)?.guarded || (await context.getSignedKey()) !== null);
  federation.setFollowersDispatcher("/users/{identifier}/followers", (_context, name) => ({
    items: actors.get(name).followers.map((actor) => ({ id: actor.id, inboxId: actor.inboxId })),
  }));
  federation
    .setOutboxDispatcher("/users/{identifier}/outbox", (_context, name, cursor) =>
      cursor === null ? null : { items: actors.get(name).said.toReversed() },
    )
    .setCounter((_context, name) => actors.get(name).said.length)
    .setFirstCursor(() => "0");
  federation.setNodeInfoDispatcher("/nodeinfo/2.1", () => ({
    software: { name: "fedify-peer", version: "1.0.0" },
    protocols: ["activitypub"],
    usage: { users: { total: actors.size }, localPosts: 0, localComments: 0 },
  }));
  federation
    .setInboxListeners("/users/{identifier}/inbox", "/inbox")
    .on(Follow, async (context, follow) => {
      await accept(context, follow, actors);
      await take(follow);
    })
    .on(Activity, (_context, activity) => take(activity));

  site.answer = (request) =>
    federation.fetch(request, {
      contextData: undefined,
      onNotFound: () => new Response("", { status: 404 }),
      onNotAcceptable: () => new Response("", { status: 406 }),
    });
  return { site, actors, received, arrivals, context: federation.createContext(new URL(site.origin), undefined) };
}

/** The activities that inboxes took, as they came, but for the first `after`; waits up to `wait_ms` for one. */
export async function received(peer, { after = 0, wait_ms = 0 }) {
  const signal = AbortSignal.timeout(wait_ms);
  while (peer.received.length <= after && !signal.aborted) {
    await once(peer.arrivals, "one", { signal }).catch(() => {});
  }
  return peer.received.slice(after);
}

/** An actor of this name, by its id, new if there is none. A `guarded` one shows itself only to those who sign. */
export async function enliven(peer, { name, guarded = false }) {
  if (!peer.actors.has(name)) {
    peer.actors.set(name, { keys: await newKeyPairs(), guarded, followers: [], said: [], gone: false });
  }
  return peer.context.getActorUri(name).href;
}

/** New keys for an actor. */
export async function rekey(peer, { name }) {
  peer.actors.get(name).keys = await newKeyPairs();
}

async function describe(context, name, actor) {
  if (!actor) return null;
  const id = context.getActorUri(name);
  if (actor.gone) return new Tombstone({ id });
  const pairs = await context.getActorKeyPairs(name);
  return new Person({
    id,
    preferredUsername: name,
    name: `${name} at a Fedify peer`,
    inbox: context.getInboxUri(name),
    outbox: context.getOutboxUri(name),
    followers: context.getFollowersUri(name),
    endpoints: new Endpoints({ sharedInbox: context.getInboxUri() }),
    publicKey: pairs[0].cryptographicKey,
    assertionMethods: pairs.map((pair) => pair.multikey),
  });
}

async function accept(context, follow, actors) {
  const name = context.parseUri(follow.objectId)?.identifier;
  const follower = await follow.getActor(context);
  if (!actors.has(name) || !follower) return;
  actors.get(name).followers.push(follower);
  const id = new URL(`#accepts/${crypto.randomUUID()}`, context.getActorUri(name));
  const answer = new Accept({ id, actor: context.getActorUri(name), object: follow });
  await context.sendActivity({ identifier: name }, follower, answer);
}
