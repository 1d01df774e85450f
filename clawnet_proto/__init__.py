"""ClawNet's protocol, sans I/O: bytes and time in, messages and state out. The reference for ``spec/``."""

__version__ = "0.1.0"
PROTOCOL_VERSION = "1"
