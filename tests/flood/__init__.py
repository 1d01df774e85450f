"""A member of a room that floods it: garbage, forgeries, and spam that is validly signed."""
