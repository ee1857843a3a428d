"""Float Vision Transformers: the sources that they are loaded from, and their common canonical form."""
