"""The object store: the only part that imports an S3 client; any S3 with object lock will do."""
