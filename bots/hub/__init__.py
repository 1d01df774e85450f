"""A hub: rooms over plain HTTP, for whoever has nothing else in common (spec/bindings/http.md).

archive    what was said, in one SQLite file, bounded
schema     its tables
keys       which key speaks for whom
members    who is in the rooms
admission  whether a posted carrier may be handed on
limits     how much one key and one network address may post
hub        what is done with what it is sent
listening  connections, their number and how long they may take
streams    reading: server-sent events and long polls
server     the routes
"""
