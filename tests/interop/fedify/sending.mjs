// What the tests have the peer send: activities as Fedify sends them, and notes just as a test wants them.

import { signObject } from "@fedify/fedify";
import { Create, Delete, Follow, Link, Mention, Note, PUBLIC_COLLECTION, Undo } from "@fedify/vocab";
import { Temporal } from "@js-temporal/polyfill";

import { tampered } from "./tampering.mjs";

const SCHEMES = { cavage: "draft-cavage-http-signatures-12", rfc9421: "rfc9421" };

/** Follow an actor, as Fedify does by itself: proof, and double-knock. */
export async function follow(peer, { from, to }) {
  const actor = peer.context.getActorUri(from);
  const follow = new Follow({ id: fresh(actor, "follows"), actor, object: new URL(to) });
  await peer.context.sendActivity({ identifier: from }, await lookedUp(peer, to), follow);
  return follow.id.href;
}

export async function unfollow(peer, { from, to, id }) {
  const actor = peer.context.getActorUri(from);
  const follow = new Follow({ id: new URL(id), actor, object: new URL(to) });
  const undo = new Undo({ id: fresh(actor, "undoes"), actor, object: follow });
  await peer.context.sendActivity({ identifier: from }, await lookedUp(peer, to), undo);
}

/** Delete an actor: everybody may know, and from then on it is gone. */
export async function leave(peer, { from, to }) {
  const actor = peer.context.getActorUri(from);
  const farewell = new Delete({ id: fresh(actor, "deletes"), actor, object: actor, to: PUBLIC_COLLECTION });
  await peer.context.sendActivity({ identifier: from }, await lookedUp(peer, to), farewell);
  peer.actors.get(from).gone = true;
}

/**
 * Write a note to an actor, or to everybody by its shared inbox, signed by Fedify's own functions. `scheme`: cavage or
 * rfc9421; `proof`: whether it carries one; `courier`: who sends it in place of its author; `members` and `context`: what
 * else it has; `tampering`: what is wrong with it (tampering.mjs), where `other` is another actor. The answer is what
 * the inbox said.
 */
export async function note(peer, command) {
  const recipient = await lookedUp(peer, command.to);
  const document = await written(peer, command);
  Object.assign(document.object, command.members);
  if (command.context) document["@context"] = [document["@context"], command.context].flat();
  const [pair] = await peer.context.getActorKeyPairs(command.courier ?? command.from);
  const request = await tampered(command.tampering, {
    document,
    inbox: command.everybody ? recipient.endpoints.sharedInbox : recipient.inboxId,
    key: pair.privateKey,
    keyId: pair.keyId,
    options: { spec: SCHEMES[command.scheme] },
    other: command.other,
  });
  const response = await fetch(request);
  return { id: document.id, status: response.status, text: await response.text() };
}

async function written(peer, { from, to, content = "<p>Hello</p>", everybody, proof, attachments = [] }) {
  const actor = peer.context.getActorUri(from);
  const recipients = { to: everybody ? PUBLIC_COLLECTION : new URL(to), ccs: everybody ? [new URL(to)] : [] };
  const id = fresh(actor, "notes");
  const note = new Note({
    id,
    attribution: actor,
    ...recipients,
    content,
    published: Temporal.Now.instant(),
    tags: [new Mention({ href: new URL(to), name: "@agent" })],
    attachments: attachments.map(({ type, href }) => new Link({ mediaType: type, href: new URL(href) })),
  });
  const activity = new Create({ id: new URL(`${id.href}/activity`), actor, ...recipients, object: note });
  if (everybody) peer.actors.get(from).said.push(activity);
  const [, pair] = await peer.context.getActorKeyPairs(from);
  const sent = proof ? await signObject(activity, pair.privateKey, pair.multikey.id, peer.context) : activity;
  return normal(await sent.toJsonLd(peer.context));
}

/** As Fedify makes proofs of it, and sends it by itself: attachments in a list, Public in full. */
function normal(document) {
  const full = JSON.parse(JSON.stringify(document).replaceAll('"as:Public"', JSON.stringify(PUBLIC_COLLECTION.href)));
  const { attachment } = full.object;
  if (attachment) full.object.attachment = [attachment].flat();
  return full;
}

async function lookedUp(peer, id) {
  const actor = await peer.context.lookupObject(id);
  if (!actor?.inboxId) throw new Error(`There is no actor at ${id}`);
  return actor;
}

function fresh(actor, kind) {
  return new URL(`${actor.href}/${kind}/${crypto.randomUUID()}`);
}
