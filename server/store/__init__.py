"""The documents in MongoDB: one repository module for each aggregate, the driver behind ``client``."""
