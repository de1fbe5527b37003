"""Figures that the documents name, and the commands behind them."""
