"""`ra serve`: many clients, one detector."""
