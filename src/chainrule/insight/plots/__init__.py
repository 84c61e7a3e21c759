"""Floor 5, insight.plots: figures, drawn by matplotlib, of the plain data that the other rooms return."""
