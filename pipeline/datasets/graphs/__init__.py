"""What data sets do inside an exported graph. Apart, since it loads torch, and all files beside a data set are loaded."""
