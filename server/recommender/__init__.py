"""Trained models in the server: the only room that knows the package ``recsys``."""
