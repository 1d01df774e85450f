"""Our own node on the local network: what we say, kept and served to whoever reads it (spec/bindings/lan.md).

names   what a hub's rooms and peers are called here
node    keeps what we say, and knows whose keys are whose
server  the routes
"""
