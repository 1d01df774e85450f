"""The audit log: all that the agent did and why, on its own disk, chained and signed (docs/audit.md)."""
