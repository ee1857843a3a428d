"""What verbs share: output, options, progress."""
