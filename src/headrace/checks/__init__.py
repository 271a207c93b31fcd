"""How good it is: one library of measurements, used offline, at a gate, in a canary and live."""
