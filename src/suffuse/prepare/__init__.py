"""From a table's cells to clean columns: ids, labels, splits, quarantine, decoding. No torch."""
