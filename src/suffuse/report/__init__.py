"""The report: table, charts, page."""
