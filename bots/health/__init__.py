"""Whether an agent or a bridge can do its work, for monitors and people: read from what it does when somebody asks.

verdict      what is wrong, found by tables of rules
page         a page of metrics in Prometheus' format
state        an agent in numbers, and what they mean
counts       what has happened since the start, added up from the agent's events
exposition   both on a page
reading      the numbers, taken from a running agent
carrying     a bridge in numbers, what they mean, and its page
crossing     the numbers, taken from a running bridge
deliveries   what servers have not taken of what was said to them
disk         whether files can be written
endpoint     where it is told
server       the same over HTTP

Only the readings, the disk and the server do I/O.
"""
