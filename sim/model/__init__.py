"""Models of cost: area."""
