"""How true answers are, and how well the ear hears."""
