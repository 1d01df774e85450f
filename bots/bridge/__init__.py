"""A bridge: one room, carried between the transports that it is on (spec/18-bridging.md).

judging     whether what arrived may be carried
newcomers   who has been there for a while, and who has not
unproven    what came before the word that proves its key
ledger      what was seen where, and what is yet to be carried: bounded, on disk
side        one transport that carries the room, and the way into it
counts      how much was carried, and what was not
presence    the bridge's own announces
bridge      the loop over all of them
opening     a bridge put together from a configuration
"""
