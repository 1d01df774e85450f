"""Serving strangers over HTTP, whoever serves.

descriptors  how many files and connections may be open
listening    connections, their number and how long they may take
limits       how much one key and one network address may ask for
"""
