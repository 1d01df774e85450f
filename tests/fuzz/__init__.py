"""Fuzzing (docs/fuzz.md): each target states an invariant, which must hold for any bytes.

``python -m tests.fuzz`` lets atheris search for bytes that break one. The tests replay the corpus and some
thousand mutations of it through the same targets, without atheris.
"""
