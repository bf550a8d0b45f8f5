"""What is done with a finished run: it is loaded, validates, predicts and is exported."""
