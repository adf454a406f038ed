"""Reading pools and storing rows, against what one would write with the usual libraries."""
