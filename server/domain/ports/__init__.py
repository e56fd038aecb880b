"""What the use cases need of the world, as contracts that the adapters fulfil.

Any method of a repository may raise ``errors.StoreUnavailable`` when the database is away; a write
may then have happened or not. Conditional writes are safe to repeat.
"""
