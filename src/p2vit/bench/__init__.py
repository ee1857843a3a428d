"""Speed of the native engine compared with other runtimes."""
