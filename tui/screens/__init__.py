"""What lies over the room for a moment: help, and the question whether one is sure."""
