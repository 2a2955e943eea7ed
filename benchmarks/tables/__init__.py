"""Benchmark results as Markdown tables, one module a table."""
