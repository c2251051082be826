"""Named operations in the field's terms, each a short declaration over the algebra."""
