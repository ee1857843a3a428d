"""Code that the verbs share: output, common options, errors of the machine."""
