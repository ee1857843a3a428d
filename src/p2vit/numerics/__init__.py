"""The norm: what every integer operator computes, in pure integers, with proven widths."""
