"""The models: one interface (``base.Model``), raw scores, arrays in and out."""
