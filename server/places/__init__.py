"""Where places are: Nepal from ``config/places.csv``, the world from the GeoNames tables."""
