"""The documents in MongoDB: one repository module for each aggregate.

The driver behind ``client``.
"""
