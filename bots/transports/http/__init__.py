"""A hub over plain HTTP as one of the agent's transports (spec/bindings/http.md).

names       URLs of a hub, its rooms and its peers
config      what the owner sets
wire        requests and answers, and what their failures mean
events      a server-sent event as bytes become one
members     who is in a room, as its stream tells
position    how far each place was read
feed        one room, or what is sent to us, read without end
transport   all of it as a ``bots.transports.Transport``
"""
