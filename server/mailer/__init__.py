"""Senders of one-time codes; each implements ``ports.CodeSender``."""
