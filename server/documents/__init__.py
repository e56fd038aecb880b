"""Documents for printing: worded elsewhere, set here."""
