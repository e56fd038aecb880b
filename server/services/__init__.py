"""Floor 1: the use cases. Each public method is one thing that a person, or a clock, can do."""
