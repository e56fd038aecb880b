"""The town in PostgreSQL, as a Django app."""
