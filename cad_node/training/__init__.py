"""How the shipped models were made. The only place that imports torch; serving never reaches it."""
