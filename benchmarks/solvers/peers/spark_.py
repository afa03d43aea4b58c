"""Spark MLlib's logistic regression in local mode: one fit, with the objective's history that it keeps."""

import os
import sys

import numpy as np

from ..curve import Curve, Watch
from ..task import Task


def run(task: Task, option: str, threads: int, seconds: float) -> Curve:
    import pyspark
    from pyspark.ml.classification import LogisticRegression
    from pyspark.ml.linalg import Vectors, VectorUDT
    from pyspark.sql import SparkSession
    from pyspark.sql.types import DoubleType, StructField, StructType

    os.environ["PYSPARK_PYTHON"] = sys.executable
    spark = (
        SparkSession.builder.master(f"local[{option}]")
        .config("spark.driver.memory", "8g")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    schema = StructType([StructField("label", DoubleType()), StructField("features", VectorUDT())])
    frame = None
    for start in range(0, len(task.y), 5000):
        rows = [
            (float(label), Vectors.dense(row.tolist()))
            for label, row in zip(task.y[start : start + 5000], np.asarray(task.X[start : start + 5000]), strict=True)
        ]
        part = spark.createDataFrame(rows, schema)
        frame = part if frame is None else frame.union(part)
    frame = frame.coalesce(int(option)).cache()
    frame.count()  # in memory before the clock starts
    family = "multinomial" if task.outputs > 1 else "binomial"
    fitter = LogisticRegression(
        regParam=task.l2, elasticNetParam=0.0, standardization=False, family=family, tol=1e-14, maxIter=3
    )
    fitter.fit(frame)  # warms it up
    watch = Watch()
    fitter.setMaxIter(10).fit(frame)
    iterations = int(np.clip(seconds / (watch() / 10), 20, 1000))
    watch = Watch()
    model = fitter.setMaxIter(iterations).fit(frame)
    took, history = watch(), list(model.summary.objectiveHistory)
    curve = Curve(version=f"Spark {pyspark.__version__}", values=history)
    curve.seconds = [took * number / (len(history) - 1) for number in range(len(history))]
    curve.passes = [-1] * len(history)
    curve.note = "seconds of an iteration are those of the fit divided by their number"
    spark.stop()
    return curve
