// Requests that somebody tampered with: each is made of a genuine one, signed by Fedify.

import { signRequest } from "@fedify/fedify";
import { Temporal } from "@js-temporal/polyfill";

/**
 * The request that posts a document, with this wrong; without a name it is genuine. `parts`: the `document`, the `inbox`,
 * `key` and `keyId` to sign with, `options` of Fedify's signRequest, and the id of an `other` actor.
 */
export async function tampered(name, parts) {
  return signed({ ...parts, ...(name ? TAMPERINGS[name](parts) : {}) });
}

/** What can be wrong. */
export const tamperings = () => Object.keys(TAMPERINGS);

const ELSEWHERE = "http://127.0.0.1:1";
const BODILESS = ["@method", "@target-uri", "@authority", "date"].map((value) => ({ value, params: {} }));

// By name: which of the parts are others. `alter` makes the tampered request of the signed one and its body.
const TAMPERINGS = {
  "no signature": () => ({ alter: unsigned }),
  "another body": () => ({ alter: (request, body) => copied(request, { body: changed(body) }) }),
  "another body and its digest": () => ({ alter: (request, body) => withDigests(request, changed(body)) }),
  "a digest that is not covered": ({ options }) => ({
    options: { ...options, body: null, rfc9421: { components: BODILESS } },
    alter: withDigests,
  }),
  "the key of another actor": ({ other }) => ({ keyId: new URL("#main-key", other) }),
  "a key that nobody has": ({ keyId }) => ({ keyId: new URL("#another-key", keyId) }),
  "the name of another actor": ({ document, other }) => ({
    document: { ...document, actor: other, object: { ...document.object, attributedTo: other } },
  }),
  "an object of another actor": ({ document, other }) => withObject(document, { attributedTo: other }),
  "an object of another host": ({ document }) => withObject(document, { id: `${ELSEWHERE}/notes/1` }),
  "an activity of another host": ({ document }) => ({ document: { ...document, id: `${ELSEWHERE}/activities/1` } }),
  "a date of yesterday": (parts) => at(parts, { hours: -25 }),
  "a date of tomorrow": (parts) => at(parts, { hours: 25 }),
  "another address": ({ inbox }) => ({
    inbox: new URL("/somewhere/else", inbox),
    alter: (request, body) => copied(request, { url: inbox, body }),
  }),
  // Only the request is signed anew: a proof that was there does not hold any more.
  "a changed text behind the proof": ({ document }) => ({ body: changed(JSON.stringify(document)) }),
};

async function signed({ document, body = JSON.stringify(document), inbox, key, keyId, options, alter }) {
  const headers = { "Content-Type": "application/activity+json" };
  const request = new Request(inbox, { method: "POST", headers, body });
  const genuine = await signRequest(request, key, keyId, options);
  return alter ? alter(genuine, body) : genuine;
}

function withObject(document, members) {
  return { document: { ...document, object: { ...document.object, ...members } } };
}

function at({ options }, duration) {
  return { options: { ...options, currentTime: Temporal.Now.instant().add(duration) } };
}

function changed(body) {
  return body.replace("Hello", "Hullo");
}

function copied(request, { url = request.url, headers = request.headers, body }) {
  return new Request(url, { method: "POST", headers, body });
}

function unsigned(request, body) {
  const headers = new Headers(request.headers);
  for (const name of ["Signature", "Signature-Input"]) headers.delete(name);
  return copied(request, { headers, body });
}

async function withDigests(request, body) {
  const digest = Buffer.from(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(body))).toString("base64");
  const headers = new Headers(request.headers);
  headers.set("Digest", `SHA-256=${digest}`);
  headers.set("Content-Digest", `sha-256=:${digest}:`);
  return copied(request, { headers, body });
}
