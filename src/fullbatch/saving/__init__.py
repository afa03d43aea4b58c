"""Files of fullbatch: how arrays and text are packed and sealed, and what may be in them."""
