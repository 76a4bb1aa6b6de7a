"""Downloads the files that a table names by address, once each, and writes the table with their paths.

``suffuse fetch`` alone opens addresses; nothing else downloads anything that a table names.
"""
