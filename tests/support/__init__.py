"""Builders of programs, models and photos that several test files share."""
