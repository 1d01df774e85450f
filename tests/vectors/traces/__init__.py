"""Traces: whole conversations, each in several orders of arrival, and the one state that comes of them."""

from __future__ import annotations

from tests.vectors.traces import corners, disputes, faults, keys, presence, stages, tasks
from tests.vectors.writing import Subject


def build() -> Subject:
    subject = Subject("traces", "Whole conversations: the same set gives the same state in every order of arrival.")
    for module in (tasks, stages, presence, keys, disputes, faults, corners):
        subject.vectors += [trace.vector() for trace in module.build()]
    return subject
