"""Adapters of ``ports.Bus``: how what happens in one process reaches sockets in all of them."""
