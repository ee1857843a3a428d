"""A cell library that is just enough to map anything."""

LIBRARY = """library (tiny) {
  cell (INVX1) { area : 2; pin(A) { direction : input; } pin(Y) { direction : output; function : "(!A)"; } }
  cell (NAND2X1) { area : 3; pin(A) { direction : input; } pin(B) { direction : input; }
    pin(Y) { direction : output; function : "(!(A B))"; } }
  cell (BUFX2) { area : 3; pin(A) { direction : input; } pin(Y) { direction : output; function : "(A)"; } }
  cell (DFFPOSX1) { area : 12; ff(IQ,IQN) { next_state : "D"; clocked_on : "CLK"; }
    pin(CLK) { direction : input; clock : true; } pin(D) { direction : input; }
    pin(Q) { direction : output; function : "IQ"; } }
}
"""
