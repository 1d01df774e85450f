"""Writes ``spec/vectors/`` and ``spec/requirements.yaml``, or compares them with what would be written."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys

from tests.vectors import SUBJECTS, requirements
from tests.vectors.writing import FOLDER, Subject, manifest


def generate(names: list[str]) -> list[Subject]:
    """These subjects, made anew. One whose module is missing is left out, with a note."""
    subjects = []
    for name in names:
        if importlib.util.find_spec(SUBJECTS[name]) is None:
            print(f"{name}: no module {SUBJECTS[name]} yet", file=sys.stderr)
            continue
        subject: Subject = importlib.import_module(SUBJECTS[name]).build()
        subjects.append(subject)
    return subjects


def files(names: list[str]) -> dict[str, bytes]:
    """The bytes of each file that is generated, by name; if these are all subjects, what is made of all, too."""
    subjects = generate(names)
    texts = {f"{subject.name}.json": subject.text() for subject in subjects}
    if names != list(SUBJECTS):
        return texts
    vectors = [vector for subject in subjects for vector in subject.vectors]
    return texts | {"manifest.json": manifest(subjects), "../requirements.yaml": requirements.text(vectors)}


def main() -> int:
    """Exit status 0, or with ``--check`` 1 if a file differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.vectors", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file differs")
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help="only these files, without the manifest")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.subjects if name not in SUBJECTS]
    if unknown:
        parser.error(f"no subject {unknown[0]}; there are {', '.join(SUBJECTS)}")
    different = 0
    for name, text in files(chosen.subjects or list(SUBJECTS)).items():
        path = FOLDER / name
        if path.exists() and path.read_bytes() == text:
            continue
        different += 1
        print(f"{path.name} {'differs' if chosen.check else 'written'}")
        if not chosen.check:
            path.write_bytes(text)
    if chosen.check and different:
        print("Run `make vectors` and look at what changed.", file=sys.stderr)
    return 1 if chosen.check and different else 0


if __name__ == "__main__":
    sys.exit(main())
