"""How good a program is: accuracy, agreement with the float model, features, comparison of back-ends."""
