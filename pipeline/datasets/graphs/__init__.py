"""What data sets do inside an exported graph: apart, since this loads torch, and all beside a data set is loaded."""
