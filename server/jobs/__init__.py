"""What the clock does: periodic duties over the same services as the other doors."""
