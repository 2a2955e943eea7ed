"""What data sets do inside an exported graph: apart, since it loads torch, and the table loads all beside itself."""
