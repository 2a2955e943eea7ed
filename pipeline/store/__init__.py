"""The object store: the only importer of an S3 client."""
