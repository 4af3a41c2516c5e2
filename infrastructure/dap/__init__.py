"""Data Analysis Platform: one settings file, one catalogue of services, deployed by an engine."""
