"""Synthesis with free tools: cells, area, delay and power before layout, and an energy and area table."""
