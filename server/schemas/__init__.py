"""Wire types: what requests may say and what answers look like, a module for each resource."""
