"""Machine descriptions and technology tables: their classes, the shipped files, and changes to them."""
