"""Checks of a build before it is published: tests of the models, and the look-ahead audit."""
