"""Whether the agent can do its work, for monitors and people: read from what it does when somebody asks.

``state`` judges numbers, ``counts`` adds events up, ``exposition`` writes both for Prometheus: none of them does I/O.
``reading`` takes the numbers from a running agent, ``server`` tells them over HTTP on a loopback port.
"""
