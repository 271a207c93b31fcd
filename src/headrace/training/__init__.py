"""How a candidate is made: definitions, workers, ONNX packages, proofs and rebuilds."""
