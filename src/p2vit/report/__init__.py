"""Reports: charts, model cards and self-contained HTML pages."""
