"""Machine descriptions: their classes, the shipped files, and changes to them."""
