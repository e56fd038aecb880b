"""Floor 0: entities, value objects, rules, errors, events and ports.

Nothing here does I/O, reads a clock or knows a framework; every rule can be tested with values
alone.
"""
