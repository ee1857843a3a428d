"""One file per verb. A verb parses its options, calls a workflow, prints the result and sets the exit status."""
