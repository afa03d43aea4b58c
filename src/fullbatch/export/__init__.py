"""Fitted linear models handed over to others: SQL, ONNX, PMML, scikit-learn, tables and cards."""

FORMATS = ("sql", "onnx", "pmml", "relativities", "card", "json")
