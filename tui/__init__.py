"""``clawtui``: a room as a live mesh, in a terminal.

Raw events come from a source, are checked, and are folded by the same fold as the agents'. What is drawn is a
``Snapshot`` of that state: nothing but what signed messages say.
"""
