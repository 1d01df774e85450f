// How Fedify reads what others have: handles, actors, notes, collections, proofs.

import { parseNodeInfo, verifyObject } from "@fedify/fedify";
import { Activity, Link, traverseCollection } from "@fedify/vocab";

export async function webfinger(peer, { resource }) {
  return peer.context.lookupWebFinger(resource);
}

/** A server's NodeInfo, null if Fedify does not take it as such. */
export async function nodeinfo(_peer, { origin }) {
  const index = await (await fetch(new URL("/.well-known/nodeinfo", origin))).json();
  const link = index.links.find(({ rel }) => rel.startsWith("http://nodeinfo.diaspora.software/ns/schema/2."));
  return parseNodeInfo(await (await fetch(link.href)).json());
}

/** Whoever is at a handle or an id, with the keys that Fedify could read. */
export async function actor(peer, { at }) {
  const found = await peer.context.lookupObject(at);
  if (!found) return null;
  const keys = async (these) => each(these, described);
  return {
    id: found.id.href,
    type: found.constructor.name,
    name: String(found.name),
    username: String(found.preferredUsername),
    summary: String(found.summary),
    inbox: found.inboxId.href,
    shared_inbox: found.endpoints?.sharedInbox?.href,
    outbox: found.outboxId?.href,
    followers: found.followersId?.href,
    public_keys: await keys(found.getPublicKeys(peer.context)),
    multikeys: await keys(found.getAssertionMethods(peer.context)),
  };
}

async function each(these, describe) {
  const all = [];
  for await (const one of these) all.push(await describe(one));
  return all;
}

function described(key) {
  const owner = key.ownerId ?? key.controllerId;
  return { id: key.id.href, owner: owner.href, algorithm: key.publicKey.algorithm.name, bits: key.publicKey.algorithm.modulusLength };
}

/** The object at a URL as Fedify understands it. */
export async function object(peer, { at }) {
  const found = await peer.context.lookupObject(at);
  return found && summarised(peer, found);
}

/** The items of a collection, page by page. */
export async function collection(peer, { at, depth = "ids" }) {
  const found = await peer.context.lookupObject(at);
  const items = await each(traverseCollection(found, peer.context), (item) => item);
  return {
    type: found.constructor.name,
    total: found.totalItems,
    items: depth === "ids" ? items.map((item) => item.id.href) : await Promise.all(items.map((item) => summarised(peer, item))),
  };
}

async function summarised(peer, found) {
  const inner = found instanceof Activity ? await found.getObject(peer.context) : null;
  return {
    id: found.id.href,
    type: found.constructor.name,
    actor: found.actorId?.href,
    attributed_to: found.attributionId?.href,
    to: found.toIds.map((id) => id.href),
    cc: found.ccIds.map((id) => id.href),
    content: found.content == null ? null : String(found.content),
    published: found.published?.toString(),
    reply_to: found.replyTargetId?.href,
    tags: await each(found.getTags(peer.context), (tag) => ({ type: tag.constructor.name, href: tag.href?.href })),
    attachments: await each(found.getAttachments(peer.context), (it) => ({
      type: it.constructor.name,
      media_type: it.mediaType,
      href: it instanceof Link ? it.href?.href : it.url?.href,
    })),
    object: inner ? await summarised(peer, inner) : undefined,
  };
}

/** Whether every proof of an activity holds and speaks for its actor. */
export async function proven(peer, { document }) {
  return (await verifyObject(Activity, document, peer.context)) !== null;
}

/** An activity as Fedify would write it anew: only what its vocabulary knows is left. */
export async function rewritten(peer, { document }) {
  const activity = await Activity.fromJsonLd(document, peer.context);
  const object = await activity.getObject(peer.context);
  return activity.clone({ object: object.clone({}) }).toJsonLd({ ...peer.context, format: "compact" });
}
