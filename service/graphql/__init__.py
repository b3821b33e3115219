"""GraphQL over the same records: types made from the resources' shapes, read through the one grammar of lists."""
