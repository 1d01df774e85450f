"""A hub: rooms over plain HTTP, for whoever has nothing else in common (spec/bindings/http.md).

archive    what was said, in one SQLite file, bounded
schema     its tables
keys       which key speaks for whom
members    who is in the rooms
chunks     what was too long for a message, for a day
admission  whether a posted carrier may be handed on
hub        what is done with what it is sent
streams    reading: server-sent events and long polls
feeds      serving places to readers, whoever keeps them
server     the routes
"""
