"""Cost laws: stated once, proved or tested, and asked of any cost function."""
