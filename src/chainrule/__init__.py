"""chainrule: neural networks from the ground up (the door)."""
