"""REST and pages: a module for each resource, each with its own table of routes."""
