"""Fitted linear models handed over to others: SQL, ONNX, PMML, scikit-learn, skops, tables and cards."""
