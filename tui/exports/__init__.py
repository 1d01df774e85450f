"""The picture as text for other programs: pure functions of a snapshot."""

from tui.exports.document import data
from tui.exports.drawing import svg
from tui.exports.graph import dot
from tui.exports.screen import without_web_fonts

__all__ = ["data", "dot", "svg", "without_web_fonts"]
