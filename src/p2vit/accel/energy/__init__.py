"""Technology tables, and energy and area that follow from them."""
