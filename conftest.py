"""Puts the repository's root on the import path, whatever folder pytest is started from."""
