"""Published tables as claim files, and the verdict on each of their cells."""

from symflops.claims.reading import ClaimFileError, read, read_text, schema
from symflops.claims.table import Table
from symflops.claims.verdict import Verdict
from symflops.claims.verifying import Report, shipped, verify

__all__ = ["ClaimFileError", "Report", "Table", "Verdict", "read", "read_text", "schema", "shipped", "verify"]
