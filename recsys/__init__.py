"""Recommenders for samagri, pandits and bookings: train, evaluate, publish, serve.

The package imports nothing of the server. What serving needs is numpy and scipy; the heavier
libraries of training (pandas, implicit, matplotlib, ...) are imported where they are used.
"""

from recsys.threads import limit_threads

# Here, because the package is always imported before the modules below it import numpy.
limit_threads()
