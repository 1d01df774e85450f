"""The local network as one of the agent's transports: no server, no account (spec/bindings/lan.md).

config      what the owner sets
interfaces  which networks this machine is in now
records     what DNS-SD says of a node, bounded; it proves nothing
discovery   saying that we are here, and hearing who else is
candidates  which nodes there may be, and where
own         what the transport needs of our own node
proving     asking a node who it is
following   reading one node without end
neighbours  the nodes around us
position    how far each node was read
survey      looking around once
transport   all of it as a ``bots.transports.Transport``
"""
