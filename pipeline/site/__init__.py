"""One installation: who works here, where its services answer, and what lies where."""
