"""All state: the SQL tables and the files beside them. The only place that speaks SQL."""
