"""The ClawNet agent: everything that touches a network, a disk or a model."""
