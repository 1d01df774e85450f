"""The generator of ``spec/vectors/``: what every implementation is asked, and the only right answers.

``python -m tests.vectors`` writes the files, ``python -m tests.vectors --check`` compares them with those on disk.

A module makes one subject: its function ``build()`` gives a :class:`tests.vectors.writing.Subject`. What a vector
expects was computed with independent libraries or stands there by hand; no generator imports ``clawnet_proto``.
"""

from __future__ import annotations

SUBJECTS = {
    name: f"tests.vectors.{name}"
    for name in (
        "canonical",
        "did",
        "signature",
        "sign",
        "carrier",
        "envelope",
        "bodies",
        "arrive",
        "identity",
        "sealing",
        "artifact",
        "handshake",
        "prompt",
        "rank",
        "transcript",
        "matrix",
        "traces",
    )
}
"""For each subject (``spec/vectors/<subject>.json``) the module that makes it."""
