"""One run from start to end: the driver's loop, what it keeps on the way, and what is said of its end."""
