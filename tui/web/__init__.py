"""``clawtui --web``: the same screens in a browser on this machine.

Whoever reaches them can use the agent's key and read the room, so they answer on 127.0.0.1 alone, to a browser that
holds the token of the printed URL, at our own pages and nobody else's. Each browser window is one child process that
runs clawtui without a terminal.
"""

from tui.web.serving import WebError, serve

__all__ = ["WebError", "serve"]
