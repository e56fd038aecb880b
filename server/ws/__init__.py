"""Sockets: another door to the same services as REST."""
