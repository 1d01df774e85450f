"""ActivityPub as one of the agent's transports (spec/bindings/activitypub.md).

On the wire:

names          URLs: what they name, when two are one, where our own things are
media_types    which media types hold activities
plain_json     strangers' JSON, bounded
references     the few shapes in which servers write one thing
request        a request as it arrived
keys           the keys of an actor, ours and others'
cavage         HTTP signatures as most servers know them (draft-cavage-http-signatures-12)
rfc9421        HTTP Message Signatures, as newer servers know them
proofs         signatures within an activity (FEP-8b32, eddsa-jcs-2022)
schemes        the headers that sign a request of ours, by either scheme; which of them a server took
documents      the actor, and what points to it: JSON that we serve
html           text for people as HTML
notes          the activities that we send
activities     what others send, read into records
inbound_note   another's note, and the event that it becomes
actors         another's actor document, read into a record
reachable      which addresses of the network we connect to
resolver       names to addresses
fetcher        GET and POST to strangers' servers
acquaintances  the actors whose documents we have
verification   who sent what arrived

The service:

config          what the owner sets
schema          the tables of the actor's file
contacts        who follows us, whom we follow, and where they take what is sent to them
members         who is in our rooms
taken           what was taken already
outgoing        what we said, and what of it waits to be taken
server_schemes  which signature scheme each server took last
chunks          what was too long for a message
planes          which plane a note belongs to
dispatch        activities of ours, signed and queued
sending         what a parcel becomes
delivery        to the inboxes
following       who hears our announces, and whose we hear
past            what those we follow said before
inbox           what is done with what arrives
shown           what everybody may read
shares          how many are at something at a time
server          the inbox's door
self_check      whether others reach us
transport       all of it as a ``bots.transports.Transport``
"""
