"""The PanditYatra server: REST, sockets and pages over one set of rules."""
