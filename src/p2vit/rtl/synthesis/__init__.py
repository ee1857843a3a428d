"""Synthesis with free tools: cells, area, delay, power before layout; and an energy and area table from them."""
