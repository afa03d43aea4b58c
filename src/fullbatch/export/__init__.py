"""Fitted linear models handed over to others: SQL, ONNX, PMML, scikit-learn, skops, tables and cards."""

# Formats by the endings of files.
ENDINGS = {
    ".sql": "sql",
    ".onnx": "onnx",
    ".pmml": "pmml",
    ".csv": "relativities",
    ".xlsx": "relativities-excel",
    ".skops": "skops",
    ".md": "card",
    ".json": "card-json",
}
