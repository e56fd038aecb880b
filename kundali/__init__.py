"""Calendar and astrology of Nepal: pure functions over tables, with no web and no database."""
