"""Commands: their types, the rules of their life, what people order and what devices report."""
