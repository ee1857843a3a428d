"""Charts as SVG text: no plotting package, no fonts, no scripts, and the same bytes every time."""
