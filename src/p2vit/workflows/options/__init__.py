"""Options of every workflow: one frozen dataclass each, shared by Python and the command line."""
