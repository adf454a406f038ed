"""The rows of the table, a module for each group of assets, with the functions that only they name."""
