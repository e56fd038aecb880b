"""Stand-ins of the payment gateways, to try and to test everything with no internet and no money.

One program on loopback. Each gateway has its own path prefix, signs and checks for real with
published test keys, and can be told to fail in every way that is known. It shares no code with the
clients: what they get wrong, it refuses.
"""
