"""Quality of a program: accuracy, agreement with the float model, features, comparison of back-ends."""
