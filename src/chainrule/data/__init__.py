"""Floor 1, data: the only room that knows a DataFrame or a file of rows."""
