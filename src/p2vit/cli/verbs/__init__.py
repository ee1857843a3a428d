"""One file per verb: it parses, prints and sets the exit status."""
