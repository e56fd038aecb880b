"""Trained models in the server: the only room that knows the package ``recsys``."""

# Before anything here imports numpy: it limits the threads of the libraries below numpy, which read
# that limit once. More threads would only get into the way of the event loop.
import recsys  # noqa: F401
