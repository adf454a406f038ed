"""What every part of selection stands on; imports no other room."""
