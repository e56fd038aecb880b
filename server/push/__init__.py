"""Messages to browsers; implements ``ports.PushSender``."""
