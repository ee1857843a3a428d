"""Speed side by side with other runtimes."""
