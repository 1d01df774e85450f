"""The test vectors of ``spec/vectors``, put to a program in any language (spec/testee.md)."""
